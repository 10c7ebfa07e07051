//! Base64 with the standard alphabet and padding (RFC 4648 §4), in its one form.

use data_encoding::BASE64;

/// Reads `text`, which must be just what [`BASE64`] prints: it reads padded pieces one behind the
/// other, too, so that one line of a note could be spelled in many ways.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    (BASE64.encode(&bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_has_one_spelling() {
        assert_eq!(decode(""), Some(Vec::new()));
        assert_eq!(decode("AAEC"), Some(vec![0, 1, 2]));
        assert_eq!(decode("AAE="), Some(vec![0, 1]));
        for other in ["AAF=", "AAE", "AA==AQI=", "AAE=====", "AA E=", "AAE=\n", "-_-_", "AA==Ag=="]
        {
            assert_eq!(decode(other), None, "{other:?}");
        }
    }
}
