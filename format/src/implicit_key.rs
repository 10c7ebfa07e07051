//! Certificateless keys: implicit certificates on the Ed25519 group (SPEC §5.1, after SEC 4 ECQV;
//! the key generation of Kim and Won §5.2).
//!
//! The authority blinds a server's commitment `X` to the reconstruction point `R = X + rB` and
//! answers with the partial key `z`; the server's own key is `a = e·x + z`, its public key
//! `A = eR + P`, where `e` binds identity, epoch, `P` and `R`. The authority never learns `a`.
//!
//! Randomness comes in as values. Scalars and seeds are zeroized when dropped and never printed.

use curve25519_dalek::constants::ED25519_BASEPOINT_TABLE as B;
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity as _;
use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use sha2::{Digest as _, Sha512};
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

use crate::key::{KeyError, KeyName, PublicKey, checked_point};
use crate::signature::{SignError, Signer};

/// Why a certificateless key was not issued or not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImplicitKeyError {
    /// P, R or X is not canonical, not of prime order, or the identity.
    #[error("the point {which} is not acceptable")]
    Point {
        /// Which point: P, R or X.
        which: &'static str,
        /// What is wrong with it.
        source: KeyError,
    },
    /// z is not below the group order.
    #[error("the partial key is not below the group order")]
    Scalar,
    /// The draw led to e = 0 or to an identity point: draw again with fresh random bytes.
    #[error("this draw cannot be used, draw again")]
    DrawAgain,
    /// A ≠ eR + P: the grant is not for this server's secret, or was altered.
    #[error("the partial key does not belong to this server's secret, identity, epoch and KGC key")]
    Mismatch,
}

/// The authority's master secret: a 32-byte seed, and the scalar s made of it.
#[derive(ZeroizeOnDrop)]
pub struct MasterSecret {
    seed: [u8; 32],
    scalar: Scalar,
}

/// A server's secret for one grant ever: a 32-byte seed, and the scalar x made of it.
#[derive(ZeroizeOnDrop)]
pub struct ServerSecret {
    seed: [u8; 32],
    scalar: Scalar,
}

/// What binds a key to its holder: the identity, the epoch and the two public points.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Binding {
    /// The server's identity, which is its key's name.
    pub id: KeyName,
    /// Counts the keys that an identity was ever granted.
    pub epoch: u32,
    /// P, the authority's public point, 32 bytes.
    pub kgc: [u8; 32],
    /// R, the reconstruction point, 32 bytes.
    pub reconstruction: [u8; 32],
}

/// The authority's answer to a request: the partial key. z may be seen by others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartialKey {
    /// Identity, epoch, P and R.
    pub binding: Binding,
    /// z, 32 bytes little-endian, below the group order.
    pub scalar: [u8; 32],
}

impl MasterSecret {
    /// The master secret of a seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let scalar = reduce(&[b"countersign/kgc/v1/master\n", &seed]);
        Self { seed, scalar }
    }

    /// P = sB, the KGC's public point.
    pub fn public(&self) -> [u8; 32] {
        (&self.scalar * B).compress().to_bytes()
    }

    /// Grants a partial key for `commitment` (X). `request` is the request as it came, byte for
    /// byte, and `random` are 32 fresh random bytes: two grants with one blind would reveal s.
    pub fn grant(
        &self,
        id: &KeyName,
        epoch: u32,
        commitment: &[u8; 32],
        request: &[u8],
        random: &[u8; 32],
    ) -> Result<PartialKey, ImplicitKeyError> {
        let mut digest = Sha512::new()
            .chain_update(b"countersign/kgc/v1/draw\n")
            .chain_update(self.seed)
            .chain_update(request)
            .chain_update(epoch.to_be_bytes())
            .chain_update(random)
            .finalize();
        let mut blind = Zeroizing::new([0; 32]);
        blind.copy_from_slice(&digest[..32]);
        digest.as_mut_slice().zeroize();
        self.grant_with_blind(id, epoch, commitment, &blind)
    }

    fn grant_with_blind(
        &self,
        id: &KeyName,
        epoch: u32,
        commitment: &[u8; 32],
        blind: &[u8; 32],
    ) -> Result<PartialKey, ImplicitKeyError> {
        let commitment = point("X", commitment)?;
        let r = Zeroizing::new(reduce(&[b"countersign/kgc/v1/blind\n", blind]));
        let reconstruction = commitment + &*r * B;
        if reconstruction.is_identity() {
            return Err(ImplicitKeyError::DrawAgain);
        }
        let binding = Binding {
            id: id.clone(),
            epoch,
            kgc: self.public(),
            reconstruction: reconstruction.compress().to_bytes(),
        };
        let e = binding.scalar();
        if e == Scalar::ZERO {
            return Err(ImplicitKeyError::DrawAgain);
        }
        let z = Zeroizing::new(e * *r + self.scalar);
        Ok(PartialKey { binding, scalar: z.to_bytes() })
    }
}

impl ServerSecret {
    /// The server secret of a seed.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let scalar = reduce(&[b"countersign/kgc/v1/secret\n", &seed]);
        Self { seed, scalar }
    }

    /// X = xB, the commitment that goes into the request.
    pub fn commitment(&self) -> [u8; 32] {
        (&self.scalar * B).compress().to_bytes()
    }

    /// Makes the key pair from a grant. Id, epoch and P in it were compared with what the server
    /// asked for and was told; here the arithmetic is checked.
    pub fn accept(&self, grant: &PartialKey) -> Result<ImplicitSigner, ImplicitKeyError> {
        let z: Option<Scalar> = Scalar::from_canonical_bytes(grant.scalar).into();
        let z = z.ok_or(ImplicitKeyError::Scalar)?;
        let public = grant.binding.public_key()?;
        let a = Zeroizing::new(grant.binding.scalar() * self.scalar + z);
        if (&*a * B).compress().as_bytes() != public.as_bytes() {
            return Err(ImplicitKeyError::Mismatch);
        }
        let mut digest = Sha512::new()
            .chain_update(b"countersign/kgc/v1/prefix\n")
            .chain_update(self.seed)
            .chain_update(public.as_bytes())
            .finalize();
        let mut hash_prefix = [0; 32];
        hash_prefix.copy_from_slice(&digest[..32]);
        digest.as_mut_slice().zeroize();
        let secret = ExpandedSecretKey { scalar: *a, hash_prefix };
        Ok(ImplicitSigner { name: grant.binding.id.clone(), secret, public })
    }
}

impl Binding {
    /// A = eR + P: the public key that belongs to this binding.
    pub fn public_key(&self) -> Result<PublicKey, ImplicitKeyError> {
        let kgc = point("P", &self.kgc)?;
        let reconstruction = point("R", &self.reconstruction)?;
        let public = (self.scalar() * reconstruction + kgc).compress().to_bytes();
        PublicKey::from_bytes(&public)
            .map_err(|source| ImplicitKeyError::Point { which: "A", source })
    }

    /// e = red(SHA-512("…/bind\n" ‖ u16be(len id) ‖ id ‖ u32be(epoch) ‖ P ‖ R)).
    fn scalar(&self) -> Scalar {
        let id = self.id.as_str().as_bytes();
        let length = u16::try_from(id.len()).expect("a key name has at most 255 bytes");
        reduce(&[
            b"countersign/kgc/v1/bind\n",
            &length.to_be_bytes(),
            id,
            &self.epoch.to_be_bytes(),
            &self.kgc,
            &self.reconstruction,
        ])
    }
}

/// red(SHA-512(parts)): the output read little-endian, modulo the group order.
fn reduce(parts: &[&[u8]]) -> Scalar {
    let mut hasher = Sha512::new();
    for part in parts {
        hasher.update(part);
    }
    let mut digest = hasher.finalize();
    let mut wide = Zeroizing::new([0; 64]);
    wide.copy_from_slice(&digest);
    digest.as_mut_slice().zeroize();
    Scalar::from_bytes_mod_order_wide(&wide)
}

fn point(which: &'static str, bytes: &[u8; 32]) -> Result<EdwardsPoint, ImplicitKeyError> {
    checked_point(bytes).map_err(|source| ImplicitKeyError::Point { which, source })
}

/// A server's own key pair. Its signatures verify with any Ed25519 verifier.
pub struct ImplicitSigner {
    name: KeyName,
    secret: ExpandedSecretKey,
    public: PublicKey,
}

impl Signer for ImplicitSigner {
    fn name(&self) -> &KeyName {
        &self.name
    }

    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let key = ed25519_dalek::VerifyingKey::from_bytes(self.public.as_bytes())
            .expect("a public key was checked when it was made");
        Ok(raw_sign::<Sha512>(&self.secret, message, &key).to_bytes())
    }
}

macro_rules! secret_debug {
    ($($type:ty),*) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str(concat!(stringify!($type), "(secret)"))
            }
        }
    )*};
}

secret_debug!(MasterSecret, ServerSecret, ImplicitSigner);

#[cfg(test)]
mod tests;
