//! Guesses whether a command line contains a password: `mysql -pX`, `sshpass -p X`, `curl -u USER:X`.

/// Programs that read a password right after `-p`.
const ATTACHED: [&str; 8] = ["mysql", "mysqldump", "mysqladmin", "mariadb", "mariadb-dump", "mongo", "mongosh", "7z"];
/// Programs and their options that take a password.
const OWN: [(&str, &str); 6] =
    [("redis-cli", "-a"), ("ldapsearch", "-w"), ("sqlcmd", "-P"), ("zip", "-P"), ("unzip", "-P"), ("openssl", "-pass")];

/// Tells whether an argument of a command line is a password.
pub(super) fn has_password(text: &str) -> bool {
    let words: Vec<&str> = text.split_whitespace().map(|word| word.trim_matches(['"', '\'', ',', '[', ']'])).collect();
    let programs: Vec<&str> = words.iter().filter_map(|word| word.rsplit('/').next()).collect();
    let runs = |names: &[&str]| programs.iter().any(|program| names.contains(program));
    words.iter().zip(words.iter().skip(1).chain([&""])).any(|(word, next)| {
        let attached = word.strip_prefix("-p").is_some_and(|value| {
            let is_word = value.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            is_password(value) && words.len() > 1 && (!is_word || runs(&ATTACHED))
        });
        let is_login = |login: &str| login.split_once(':').is_some_and(|(_, password)| is_password(password));
        let login = match word.strip_prefix("--user=").or_else(|| word.strip_prefix("-u")) {
            Some(login) if !login.is_empty() => is_login(login),
            _ => ["-u", "--user", "--proxy-user", "-U"].contains(word) && is_login(next),
        };
        let own = OWN.iter().any(|(program, option)| word == option && runs(&[program]) && is_password(next));
        attached || login || own || *word == "-p" && is_password(next)
    })
}

/// Tells whether an argument can be a password: not a number, variable, path, option or port mapping.
fn is_password(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(['$', '/', '-', '.'])
        && !text.chars().all(|c| c.is_ascii_digit() || ":.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::has_password;

    #[test]
    fn a_password_among_the_arguments_is_seen() {
        for text in [
            "mysql -uroot -phunter2",
            "mysql -u root -psecret",
            "sshpass -p hunter2 ssh app@host",
            "curl -u admin:hunter2 https://example.com",
            "curl -uadmin:hunter2 https://example.com",
            "curl --user=admin:hunter2 https://example.com",
            "redis-cli -h cache -a hunter2",
            "docker login -u app -p hunter2",
        ] {
            assert!(has_password(text), "{text}");
        }
        for text in [
            "ssh -p 2222 host",
            "serve -port 8080",
            "docker run -p 8080:80 -u 1000:1000 crew",
            "mysql -uroot -p$PASSWORD",
            "mkdir -p /var/lib/crew",
            "-p8080",
            "curl -u admin:$PASSWORD https://example.com",
        ] {
            assert!(!has_password(text), "{text}");
        }
    }
}
