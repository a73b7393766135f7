//! Owns connecting over ssh: the user's ssh client runs `docker system dial-stdio` on the other machine, like the Docker CLI does.

use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::Join;
use tokio::process::{ChildStdin, ChildStdout, Command};

use super::endpoint::SshTarget;
use crate::diagnostic::ForeignText;
use crate::runtime::bounded;
use crate::runtime::platform::in_own_group;

/// How much of each line from ssh to read, in bytes.
const LINE: usize = 64 << 10;

/// Starts ssh, which ends when the connection is dropped. `said` gets the last line of its standard error.
pub(super) fn spawn(target: &SshTarget, said: Arc<Mutex<Option<String>>>) -> io::Result<Join<ChildStdout, ChildStdin>> {
    let mut command = Command::new(&target.program);
    for variable in &target.withheld {
        command.env_remove(variable);
    }
    if let Some(user) = &target.user {
        command.args(["-l", user]);
    }
    if let Some(port) = target.port {
        command.args(["-p", &port.to_string()]);
    }
    // an interrupt at the terminal goes to the whole process group: in its own group, ssh survives until the run has finished its work,
    // but it cannot ask for a password there
    in_own_group(&mut command);
    command.args(["-o", "BatchMode=yes"]);
    command.args(["-o", "ConnectTimeout=30", "-T", "--", target.host.trim_matches(['[', ']']), "docker"]);
    if let Some(socket) = &target.socket {
        command.args(["--host", &format!("unix://{}", quoted(socket))]);
    }
    command.args(["system", "dial-stdio"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    tokio::spawn(async move {
        bounded::read_lines(stderr, LINE, |line| {
            if !line.trim_ascii().is_empty() {
                *said.lock().unwrap_or_else(PoisonError::into_inner) = Some(ForeignText::new(line).into());
            }
        })
        .await;
        // wait for the program, so that it does not become a zombie
        let _ = child.wait().await;
    });
    Ok(tokio::io::join(stdout, stdin))
}

/// Quotes a word for the shell on the other machine.
fn quoted(word: &str) -> String {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_path_is_one_word_on_the_other_machine() {
        assert_eq!(quoted("/run/x.sock"), "/run/x.sock");
        assert_eq!(quoted("/a b;$(x)'"), r"'/a b;$(x)'\'''");
    }
}
