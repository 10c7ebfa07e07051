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
            assert_eq!(with_examples(), [$($path),*], "list the document in tests/documents.rs");
        }
    };
}

documents! {
    configuration: "docs/configuration.md",
    readme: "README.md",
    hosting: "docs/hosting.md",
    publishing: "docs/publishing.md",
}
