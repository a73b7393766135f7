//! `secretbake completions` and `secretbake man`: what shells and `man` know of the command line, made from its structure.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::CommandFactory as _;

use super::Cli;
use super::output::Output;
use crate::error::{Diagnostic, Error};

/// What follows the generated completions of bash: names of credentials and secrets are asked for as they are wanted.
const BASH_NAMES: &str = r#"
_secretbake_names() {
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" what="" options=() i
    case "${prev}" in
        --credential) what=credentials ;;
        --secret | --prefix) what=secrets ;;
        edit | show | default | test | remove)
            if [[ "${COMP_CWORD}" -ge 2 && "${COMP_WORDS[COMP_CWORD-2]}" == credential && "${cur}" != -* ]]; then
                what=credentials
            fi
            ;;
    esac
    if [[ -z "${what}" ]]; then
        _secretbake "$@"
        return
    fi
    for ((i = 1; i < COMP_CWORD - 1; i++)); do
        case "${COMP_WORDS[i]}" in
            --org) options+=(--org "${COMP_WORDS[i+1]}") ;;
            --credential) [[ "${what}" == secrets ]] && options+=(--credential "${COMP_WORDS[i+1]}") ;;
            test) [[ "${what}" == secrets && "${COMP_WORDS[i+1]}" != -* ]] && options+=(--credential "${COMP_WORDS[i+1]}") ;;
        esac
    done
    # names hold neither spaces nor patterns
    COMPREPLY=($(secretbake __complete "${options[@]}" "${what}" -- "${cur}" 2>/dev/null))
}
complete -F _secretbake_names -o nosort -o bashdefault -o default secretbake
"#;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  secretbake completions bash > /etc/bash_completion.d/secretbake
  secretbake completions zsh > ~/.zfunc/_secretbake")]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:
  secretbake man | man -l -
  secretbake man --dir /usr/local/share/man/man1")]
pub(super) struct ManArgs {
    /// Write a page for each command into this directory, instead of the main one to standard output
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn completions(args: &CompletionsArgs, output: &Output) -> Result<ExitCode, Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "secretbake", &mut script);
    output.result(&String::from_utf8_lossy(&script))?;
    if args.shell == clap_complete::Shell::Bash {
        output.result(BASH_NAMES)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(args: &ManArgs, output: &Output) -> Result<ExitCode, Error> {
    match &args.dir {
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command())
                .render(&mut page)
                .map_err(|error| unwritable(Path::new("-"), &error))?;
            output.result(&String::from_utf8_lossy(&page))?;
        }
        Some(dir) => {
            let written = std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
            written.map_err(|error| unwritable(dir, &error))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn unwritable(path: &Path, error: &std::io::Error) -> Error {
    let what = format!("cannot write the manual to {}: {error}", path.display());
    Error::failed(Diagnostic::error("man", what).hint("give a directory that you may write to, with --dir"))
}
