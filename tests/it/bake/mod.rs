//! Bakes on real parts, told as users tell them.

mod bases;
mod engine_errors;
mod inject;
mod interrupt;
mod interrupt_report;
mod killed_run;
mod launcher;
mod layouts_and_archives;
mod many_manifests;
mod matrix;
mod mistakes;
mod progress;
mod push;
mod quickstart;
mod registry;
mod stdout;
mod summary;
mod values;
