//! What a witness's person does.

pub mod init;
pub mod run;
