//! Every example of every document is run as a reader would type it. How documents say what is run:
//! `countersign_tests::document`.

use countersign_tests::document::{Document, with_examples};

/// One test a document, so that they run side by side and fail by name.
macro_rules! documents {
    ($($name:ident: $path:literal,)*) => {
        $(
            #[test]
            fn $name() {
                Document::read($path).run();
            }
        )*

        #[test]
        fn every_document_with_examples_is_run() {
            let mut listed = vec![$($path),*];
            listed.sort_unstable();
            assert_eq!(with_examples(), listed, "list the document in tests/documents.rs");
        }
    };
}

documents! {
    readme: "README.md",
    configuration: "docs/configuration.md",
    directory: "docs/directory.md",
    enrolment: "docs/enrolment.md",
    hosting: "docs/hosting.md",
    keys: "docs/keys.md",
    networks: "docs/networks.md",
    operations: "docs/operations.md",
    publishing: "docs/publishing.md",
    recovery: "docs/recovery.md",
    resolution: "docs/resolution.md",
    rotation: "docs/rotation.md",
    status: "docs/status.md",
    transactions: "docs/transactions.md",
    witnesses: "docs/witnesses.md",
}
