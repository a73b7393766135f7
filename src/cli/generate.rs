//! `secretbake completions` and `secretbake man`: what shells and `man` know of the command line, made from its structure.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Cli;
use super::output::Output;
use crate::diagnostic::{Diagnostic, Error};

/// The sections FILES and ENVIRONMENT of the manual page.
const MAN_SECTIONS: &str = include_str!("man.roff");
/// What completes the names of credentials and secrets, added to clap's completion scripts.
const BASH_NAMES: &str = include_str!("names/names.bash");
const ZSH_NAMES: &str = include_str!("names/names.zsh");
const FISH_NAMES: &str = include_str!("names/names.fish");

/// Begins the last statement of zsh's generated completions, which calls what is defined before it.
const ZSH_START: &str = "\nif [ \"$funcstack[1]\"";

#[derive(clap::Args)]
#[command(after_help = "Examples:
  secretbake completions bash > /etc/bash_completion.d/secretbake
  secretbake completions zsh > ~/.zfunc/_secretbake")]
pub(super) struct CompletionsArgs {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  secretbake man | man -l -
  secretbake man --dir /usr/local/share/man/man1")]
pub(super) struct ManArgs {
    /// Write one page per command to this directory, instead of printing the main page
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs, output: &Output) -> Result<ExitCode, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut visible(), "secretbake", &mut script);
    let script = String::from_utf8_lossy(&script);
    let (definitions, start) = match args.shell {
        Shell::Zsh => script.split_at(script.rfind(ZSH_START).unwrap_or(script.len())),
        _ => (&*script, ""),
    };
    let names = match args.shell {
        Shell::Bash => BASH_NAMES,
        Shell::Zsh => ZSH_NAMES,
        Shell::Fish => FISH_NAMES,
        _ => "",
    };
    output.result(&[definitions, names, start].concat())?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the command line without hidden commands, which clap's generators offer too.
fn visible() -> clap::Command {
    let whole = Cli::command();
    let shown: Vec<clap::Command> = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let visible = clap::Command::new("secretbake").version(env!("CARGO_PKG_VERSION")).propagate_version(true);
    visible.args(whole.get_arguments().cloned()).subcommands(shown)
}

pub(super) fn man(args: &ManArgs, output: &Output) -> Result<ExitCode, Error> {
    match &args.dir {
        None => {
            let mut page = Vec::new();
            main_page(&mut page).map_err(|error| unwritable(Path::new("-"), &error))?;
            output.result(&String::from_utf8_lossy(&page))?;
        }
        Some(dir) => {
            write_pages(dir).map_err(|error| unwritable(dir, &error))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Renders the page of `secretbake` itself: clap's page, then the sections that clap does not know.
fn main_page(page: &mut Vec<u8>) -> std::io::Result<()> {
    clap_mangen::Man::new(Cli::command()).render(page)?;
    page.extend_from_slice(MAN_SECTIONS.as_bytes());
    Ok(())
}

fn write_pages(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    clap_mangen::generate_to(Cli::command(), dir)?;
    let mut page = Vec::new();
    main_page(&mut page)?;
    std::fs::write(dir.join("secretbake.1"), page)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    let what = format!("cannot write the manual to {}: {error}", path.display());
    Error::failed(Diagnostic::error("man", what).hint("give a directory that you may write to, with --dir"))
}
