//! The org file: how it is found, read, edited and shared.

mod edit;
mod file;
mod init_as_root;
