//! `credential add`, `list`, `show`, `default`, `test` and `remove`.

mod edit;
mod prompts;
mod test;
