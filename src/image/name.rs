//! Owns the names of images: skopeo's transports, and Docker's rules for repositories and tags.
//!
//! It must not check whether an image exists.

use core::net::Ipv6Addr;
use std::fmt;

use super::digest::Digest;

/// The store of an image, and its name there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ImageName {
    /// `scratch`: the empty base.
    Scratch,
    /// `NAME` or `docker-daemon:NAME`: an image of the container engine, by name, digest or ID.
    Engine(Repository),
    /// `docker://HOST/REPO[:TAG|@DIGEST]`: an image of a registry, without a daemon.
    Registry(Repository),
    /// `oci:DIR[:TAG]`: an image of an OCI layout.
    Layout { path: String, tag: Option<String> },
    /// `oci-archive:FILE[:TAG]`: an OCI layout in a tar file.
    OciArchive { path: String, tag: Option<String> },
    /// `docker-archive:FILE[:NAME]`: what `docker save` writes.
    DockerArchive { path: String, name: Option<Repository> },
}

/// A repository with a tag or a digest, by Docker's rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    /// As the user wrote it.
    text: String,
    /// `docker.io` if the user named no host; empty for an image ID.
    host: String,
    /// `library/NAME` for a short name of docker.io; empty for an image ID.
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// What is wrong with an image's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("no image name")]
    Empty,
    #[error("not an image name")]
    Repository,
    #[error("an upper-case letter in a repository's name")]
    UpperCase,
    #[error("not a tag")]
    Tag,
    #[error("not a digest")]
    Digest,
    #[error("no path after the transport")]
    NoPath,
    #[error("an unknown transport")]
    Transport,
    #[error("a registry without a repository")]
    NoRepository,
    #[error("a login in an image's name")]
    Login,
}

impl NameError {
    /// Returns the next step for the name `text`.
    pub fn hint(self, text: &str) -> String {
        let hint = match self {
            NameError::Empty | NameError::Repository => {
                "write NAME[:TAG], docker://HOST/REPO:TAG, oci:DIR[:TAG], docker-archive:FILE, oci-archive:FILE or scratch"
            }
            NameError::UpperCase => "write the repository in lower case; only the tag may have upper-case letters",
            NameError::Tag => {
                "a tag has 1 to 128 letters, digits, `_`, `.` and `-`, and does not start with `.` or `-`"
            }
            NameError::Digest => "a digest is sha256: and 64 lower-case hexadecimal digits",
            NameError::NoPath => "write the directory or file after the colon, such as oci:build/image:1.0",
            NameError::NoRepository => {
                return format!("add the repository: {}/REPO:TAG", text.trim_end_matches('/').to_ascii_lowercase());
            }
            NameError::Login => "log in with `docker login HOST`, and write the name without user and password",
            NameError::Transport => {
                "the transports are docker-daemon:, docker://, oci:, oci-archive: and docker-archive:"
            }
        };
        hint.to_owned()
    }
}

impl ImageName {
    /// Parses a name with skopeo's transport in front; without one it is in the engine.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text == "scratch" {
            return Ok(ImageName::Scratch);
        }
        if let Some(rest) = text.strip_prefix("docker-daemon:") {
            return Ok(ImageName::Engine(Repository::parse_or_id(rest)?));
        }
        if let Some(rest) = text.strip_prefix("docker://") {
            if has_login(rest) {
                return Err(NameError::Login);
            }
            if is_host(rest) {
                return Err(NameError::NoRepository);
            }
            return Ok(ImageName::Registry(Repository::parse(rest)?));
        }
        if let Some(rest) = text.strip_prefix("oci:") {
            let (path, tag) = path_and_tag(rest)?;
            return Ok(ImageName::Layout { path, tag });
        }
        if let Some(rest) = text.strip_prefix("oci-archive:") {
            let (path, tag) = path_and_tag(rest)?;
            return Ok(ImageName::OciArchive { path, tag });
        }
        if let Some(rest) = text.strip_prefix("docker-archive:") {
            let (path, name) = split_path(rest);
            if path.is_empty() {
                return Err(NameError::NoPath);
            }
            let name = name.map(Repository::parse).transpose()?;
            return Ok(ImageName::DockerArchive { path: path.to_owned(), name });
        }
        let looks_like_transport = text.contains("://")
            || ["dir:", "containers-storage:", "ostree:", "tarball:", "docker:"]
                .iter()
                .any(|transport| text.strip_prefix(transport).is_some_and(|rest| rest.contains('/')));
        if looks_like_transport {
            return Err(NameError::Transport);
        }
        Ok(ImageName::Engine(Repository::parse_or_id(text)?))
    }
}

impl ImageName {
    /// Returns the place of the image, without its name there. Images in the same place can be written together.
    pub fn place(&self) -> String {
        match self {
            ImageName::Scratch => "scratch".to_owned(),
            ImageName::Engine(_) => "docker-daemon:".to_owned(),
            ImageName::Registry(name) => format!("docker://{}/{}", name.host, name.path),
            ImageName::Layout { path, .. } => format!("oci:{}", normalize(path)),
            ImageName::OciArchive { path, .. } => format!("oci-archive:{}", normalize(path)),
            ImageName::DockerArchive { path, .. } => format!("docker-archive:{}", normalize(path)),
        }
    }

    /// Returns a key of what a write replaces: a tag, or a whole archive. Two spellings of one target have the same key.
    pub fn replaces(&self) -> String {
        match self {
            ImageName::Engine(name) | ImageName::Registry(name) => {
                format!("{} {}", self.place(), name.tagged().unwrap_or_else(|| name.text.clone()))
            }
            ImageName::Layout { tag, .. } => format!("{} {}", self.place(), tag.as_deref().unwrap_or_default()),
            ImageName::OciArchive { path, .. } | ImageName::DockerArchive { path, .. } => normalize(path),
            ImageName::Scratch => self.place(),
        }
    }

    /// Returns the name by which other machines can pull the image, `HOST/PATH:TAG` or `HOST/PATH@DIGEST`; `None` for an image in a file,
    /// and for one in the engine whose name has no registry: only that engine may have it.
    pub fn pullable(&self) -> Option<String> {
        let name = match self {
            ImageName::Registry(name) => name,
            ImageName::Engine(name) if name.has_registry() => name,
            _ => return None,
        };
        let by_digest = || Some(format!("{}/{}@{}", name.host, name.path, name.digest.as_ref()?));
        by_digest().or_else(|| name.tagged())
    }

    /// Returns the name by its tag alone, if it has a tag and a digest.
    #[must_use]
    pub fn without_digest(&self) -> Self {
        let by_tag = |name: &Repository| name.tag().and_then(|tag| name.with_tag(tag));
        match self {
            ImageName::Engine(name) if name.digest.is_some() => by_tag(name).map(ImageName::Engine),
            ImageName::Registry(name) if name.digest.is_some() => by_tag(name).map(ImageName::Registry),
            _ => None,
        }
        .unwrap_or_else(|| self.clone())
    }

    /// Tells whether the image is an archive on standard input or output.
    pub fn is_standard(&self) -> bool {
        matches!(self, ImageName::OciArchive { path, .. } | ImageName::DockerArchive { path, .. } if path == "-")
    }

    /// Tells whether the image is in a file or directory, which no engine pushes.
    pub fn is_file(&self) -> bool {
        matches!(self, ImageName::Layout { .. } | ImageName::OciArchive { .. } | ImageName::DockerArchive { .. })
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = |part: &Option<String>| part.as_ref().map(|part| format!(":{part}")).unwrap_or_default();
        match self {
            ImageName::Scratch => f.write_str("scratch"),
            // what reads as something else needs the prefix, such as an image of an engine that is called `oci`
            ImageName::Engine(name) => match ImageName::parse(&name.text) {
                Ok(same) if same == *self => f.write_str(&name.text),
                _ => write!(f, "docker-daemon:{}", name.text),
            },
            ImageName::Registry(name) => write!(f, "docker://{}", name.text),
            ImageName::Layout { path, tag } => write!(f, "oci:{path}{}", suffix(tag)),
            ImageName::OciArchive { path, tag } => write!(f, "oci-archive:{path}{}", suffix(tag)),
            ImageName::DockerArchive { path, name } => {
                write!(f, "docker-archive:{path}{}", suffix(&name.as_ref().map(|name| name.text.clone())))
            }
        }
    }
}

impl Repository {
    /// Parses `[HOST/]PATH[:TAG][@DIGEST]`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) if Digest::parse(digest).is_some() => (name, Some(digest.to_owned())),
            Some(_) => return Err(NameError::Digest),
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(NameError::Tag);
        }
        // Docker's rule: the first part is a host if it cannot be part of a path
        let (host, path) = match name.split_once('/') {
            Some((host, path)) if host == "localhost" || host.contains(['.', ':']) => (host, path),
            _ => ("docker.io", name),
        };
        // Docker Hub has two names, and its images without a user are in `library`
        let host = if host == "index.docker.io" { "docker.io" } else { host };
        let path = match host == "docker.io" && !path.contains('/') {
            true => format!("library/{path}"),
            false => path.to_owned(),
        };
        let host_is_right = may_be_host_and_port(host);
        if !host_is_right || !path.split('/').all(is_component) || path.len() > 255 {
            let lower = path.to_ascii_lowercase();
            let only_case = host_is_right && lower != path && lower.split('/').all(is_component);
            return Err(if only_case { NameError::UpperCase } else { NameError::Repository });
        }
        Ok(Repository { text: text.to_owned(), host: host.to_owned(), path, tag: tag.map(str::to_owned), digest })
    }

    /// Parses a name, or the ID of an image (`sha256:…`).
    fn parse_or_id(text: &str) -> Result<Self, NameError> {
        if Digest::parse(text).is_none() {
            return Repository::parse(text);
        }
        Ok(Repository {
            text: text.to_owned(),
            host: String::new(),
            path: String::new(),
            tag: None,
            digest: Some(text.to_owned()),
        })
    }

    /// Returns the name as the user wrote it.
    pub fn as_written(&self) -> &str {
        &self.text
    }

    /// Returns the name as the user wrote it, without its tag and digest.
    pub fn bare(&self) -> &str {
        let name = self.text.split('@').next().unwrap_or_default();
        match name.rsplit_once(':') {
            Some((bare, tag)) if !tag.contains('/') => bare,
            _ => name,
        }
    }

    /// Tells whether neither a tag nor a digest was written.
    pub fn is_bare(&self) -> bool {
        self.tag.is_none() && self.digest.is_none()
    }

    /// Returns another image of the repository by its tag; `None` if that is not a tag.
    pub fn with_tag(&self, tag: &str) -> Option<Self> {
        let text = format!("{}:{tag}", self.bare());
        is_tag(tag).then(|| Repository { text, tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// Returns another image of the repository by its digest.
    pub fn with_digest(&self, digest: &Digest) -> Self {
        let text = format!("{}@{digest}", self.bare());
        Repository { text, tag: None, digest: Some(digest.to_string()), ..self.clone() }
    }

    /// Returns the host and its port; `docker.io` if none was written.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the repository's path, `library/NAME` for a short name of docker.io.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the tag; `latest` if neither a tag nor a digest was written.
    pub fn tag(&self) -> Option<&str> {
        match (&self.tag, &self.digest) {
            (None, None) => Some("latest"),
            (tag, _) => tag.as_deref(),
        }
    }

    /// Tells whether the name is `NAME:PORT`, which may be meant as a registry's host, and is a repository of Docker Hub and its tag.
    pub fn may_be_host(&self) -> bool {
        self.digest.is_none() && !self.text.contains('/') && self.tag.as_deref().is_some_and(may_be_port)
    }

    /// Tells whether the name was written with a registry. Podman's `localhost/` does not count.
    fn has_registry(&self) -> bool {
        let first = self.text.split_once('/').map_or("", |(first, _)| first);
        self.host != "localhost" && !self.host.is_empty() && (first == self.host || first == "index.docker.io")
    }

    /// Returns the digest that was written.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Returns `HOST/PATH:TAG`, the full form of a name with a tag; `None` for a digest or an ID alone.
    pub fn tagged(&self) -> Option<String> {
        let tag = self.tag()?;
        Some(format!("{}/{}:{tag}", self.host, self.path))
    }

    /// Returns `NAME:TAG` as the engine shows it: without docker.io and `library/`.
    pub fn familiar(&self) -> Option<String> {
        let tagged = self.tagged()?;
        let name = tagged.strip_prefix("docker.io/").unwrap_or(&tagged);
        Some(name.strip_prefix("library/").unwrap_or(name).to_owned())
    }
}

/// Tells whether a name begins with `USER:PASSWORD@`.
fn has_login(name: &str) -> bool {
    let host = name.split('/').next().unwrap_or_default();
    host.rsplit_once('@').is_some_and(|(_, rest)| !rest.starts_with("sha256:"))
}

/// Tells whether a name is only a registry's host.
fn is_host(name: &str) -> bool {
    let host = name.trim_end_matches('/');
    let (address, port) = host.rsplit_once(':').map_or((host, ""), |(address, port)| (address, port));
    // no repository of Docker Hub has upper-case letters
    let has_upper_case = address.contains(|c: char| c.is_ascii_uppercase());
    !host.contains(['/', '@'])
        && (address == "localhost" || address.contains(['.', '[']) || has_upper_case && may_be_port(port))
}

/// Tells whether a text is `HOST` or `HOST:PORT`; an IPv6 address is in brackets.
fn may_be_host_and_port(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let is_right = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            host.starts_with(|c: char| c.is_ascii_alphanumeric())
                && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
        }
    };
    is_right && port.is_none_or(|port| !port.starts_with('+') && port.parse::<u16>().is_ok())
}

/// Tells whether a text is a port that a registry may have. A tag can look the same.
fn may_be_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port >= 443)
}

/// Splits `PATH[:NAME]` at the first colon, but not at that of a drive of Windows, such as `C:\images`.
fn split_path(rest: &str) -> (&str, Option<&str>) {
    let is_drive = matches!(rest.as_bytes(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic());
    match rest.match_indices(':').nth(usize::from(is_drive)) {
        Some((at, _)) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    }
}

fn path_and_tag(rest: &str) -> Result<(String, Option<String>), NameError> {
    let (path, tag) = split_path(rest);
    if path.is_empty() {
        return Err(NameError::NoPath);
    }
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err(NameError::Tag);
    }
    Ok((path.to_owned(), tag.map(str::to_owned)))
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        && !tag.starts_with(['.', '-'])
}

/// Returns a path without empty parts and `.`; `..` stays, since a link may precede it.
fn normalize(path: &str) -> String {
    let root = if path.starts_with('/') { "/" } else { "" };
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("{root}{}", parts.join("/"))
}

/// Tells whether a part of a path is valid: lower-case letters and digits, separated by `.`, `_`, `__` or dashes.
fn is_component(part: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    part.starts_with(alphanumeric)
        && part.ends_with(alphanumeric)
        && part
            .split(alphanumeric)
            .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(text: &str) -> Repository {
        match ImageName::parse(text).unwrap() {
            ImageName::Engine(name) => name,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn an_engine_s_image_with_the_name_of_a_transport_is_shown_with_its_own() {
        for text in [
            "docker-daemon:oci:2",
            "docker-daemon:scratch",
            "docker-daemon:docker-archive:1",
            "docker-daemon:docker-daemon:5000/crew",
            "crew:1",
            "oci/crew:1",
        ] {
            let name = ImageName::parse(text).unwrap();
            assert!(matches!(name, ImageName::Engine(_)), "{text}");
            assert_eq!(name.to_string(), text);
        }
    }

    #[test]
    fn a_short_name_is_one_of_docker_io() {
        assert_eq!(engine("crew:1").tagged().unwrap(), "docker.io/library/crew:1");
        assert_eq!(engine("team/crew").tagged().unwrap(), "docker.io/team/crew:latest");
        assert_eq!(engine("docker-daemon:crew:1").familiar().unwrap(), "crew:1");
    }

    #[test]
    fn others_can_pull_only_what_a_registry_names() {
        let digest = Digest::of(b"");
        for (text, name) in [
            ("docker://ghcr.io/a/b", Some("ghcr.io/a/b:latest".to_owned())),
            ("docker://alpine:3", Some("docker.io/library/alpine:3".to_owned())),
            ("ghcr.io/a/b:1", Some("ghcr.io/a/b:1".to_owned())),
            ("docker.io/alpine", Some("docker.io/library/alpine:latest".to_owned())),
            ("index.docker.io/library/alpine", Some("docker.io/library/alpine:latest".to_owned())),
            (&format!("docker://h.example/a:1@{digest}"), Some(format!("h.example/a@{digest}"))),
            ("crew:1", None),
            ("team/crew:1", None),
            ("localhost/crew:1", None),
            (digest.as_str(), None),
            ("oci:out:1", None),
            ("docker-archive:x.tar:ghcr.io/a/b:1", None),
            ("scratch", None),
        ] {
            assert_eq!(ImageName::parse(text).unwrap().pullable(), name, "{text}");
        }
    }

    #[test]
    fn a_port_is_no_tag() {
        let name = engine("localhost:5000/crew");
        assert_eq!((name.host(), name.path(), name.tag()), ("localhost:5000", "crew", Some("latest")));
        for text in ["127.0.0.1:5000/a/b:2", "[::1]:5000/a:2", "[::1]/a:2", "my_registry.lan:80/a:2"] {
            assert_eq!(engine(text).tagged().unwrap(), text);
        }
    }

    #[test]
    fn another_image_of_a_repository_is_named_as_the_user_wrote_the_first() {
        let digest = Digest::of(b"");
        for text in ["localhost:5000/crew", "localhost:5000/crew:1", &format!("localhost:5000/crew:1@{digest}")] {
            let name = engine(text);
            assert_eq!(name.bare(), "localhost:5000/crew");
            assert_eq!(name.with_tag("2").unwrap(), engine("localhost:5000/crew:2"));
            assert_eq!(name.with_digest(&digest), engine(&format!("localhost:5000/crew@{digest}")));
            assert_eq!(name.with_tag("a/b"), None);
        }
        assert!(engine("crew").is_bare() && !engine("crew:1").is_bare());
    }

    #[test]
    fn a_path_is_not_the_name_of_an_image() {
        for path in ["./deploy.yaml", "../crew", "/srv/crew", "docker://./crew"] {
            assert_eq!(ImageName::parse(path), Err(NameError::Repository), "{path}");
        }
    }

    #[test]
    fn a_tag_beside_a_digest_is_a_name_of_its_own() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let without = |text: &str| ImageName::parse(text).unwrap().without_digest().to_string();
        assert_eq!(
            without(&format!("docker://r.example.com:5000/crew:1@{digest}")),
            "docker://r.example.com:5000/crew:1"
        );
        assert_eq!(without(&format!("crew:1@{digest}")), "crew:1");
        for text in [&*format!("crew@{digest}"), &digest, "crew", "docker://r.example.com/crew", "oci:out:1"] {
            assert_eq!(without(text), text);
        }
    }

    #[test]
    fn a_digest_or_an_id_has_no_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(engine(&format!("crew@{digest}")).tagged(), None);
        assert_eq!(engine(&format!("crew:1@{digest}")).tag(), Some("1"));
        assert_eq!(engine(&digest).digest(), Some(digest.as_str()));
    }

    #[test]
    fn paths_have_tags_of_their_own() {
        let parse = |text| ImageName::parse(text).unwrap();
        assert_eq!(parse("oci:a/b:1"), ImageName::Layout { path: "a/b".into(), tag: Some("1".into()) });
        assert_eq!(parse("oci:a"), ImageName::Layout { path: "a".into(), tag: None });
        assert_eq!(parse("docker-archive:x.tar:crew:1").to_string(), "docker-archive:x.tar:crew:1");
        assert_eq!(parse("scratch"), ImageName::Scratch);
    }

    #[test]
    fn the_colon_of_a_drive_is_part_of_the_path() {
        let parse = |text| ImageName::parse(text).unwrap();
        assert_eq!(parse(r"oci:C:\out:1"), ImageName::Layout { path: r"C:\out".into(), tag: Some("1".into()) });
        assert_eq!(parse("oci-archive:d:/x.tar"), ImageName::OciArchive { path: "d:/x.tar".into(), tag: None });
        assert_eq!(parse(r"docker-archive:C:\x.tar:crew:1").to_string(), r"docker-archive:C:\x.tar:crew:1");
        assert_eq!(parse("oci:c:1"), ImageName::Layout { path: "c".into(), tag: Some("1".into()) });
    }

    #[test]
    fn a_wrong_name_says_what_is_wrong() {
        for (text, error) in [
            ("", NameError::Empty),
            ("Crew:1", NameError::UpperCase),
            ("crew:", NameError::Tag),
            ("crew:.x", NameError::Tag),
            ("crew@sha256:12", NameError::Digest),
            ("a//b", NameError::Repository),
            ("a$b.io/crew", NameError::Repository),
            ("a$b.io/Crew", NameError::Repository),
            ("ghcr.io/crew-", NameError::Repository),
            ("a::b/crew", NameError::Repository),
            ("a:b/crew", NameError::Repository),
            ("a:/crew", NameError::Repository),
            ("a:+80/crew", NameError::Repository),
            ("a:65536/crew", NameError::Repository),
            ("[a:80/crew", NameError::Repository),
            ("[a.io]/crew", NameError::Repository),
            ("[::1]x:80/crew", NameError::Repository),
            ("ghcr.io/-crew", NameError::Repository),
            ("ghcr.io/my.__crew", NameError::Repository),
            (&format!("ghcr.io/{}", "x".repeat(256)), NameError::Repository),
            ("a b", NameError::Repository),
            ("oci:", NameError::NoPath),
            ("oci:x:a/b", NameError::Tag),
            ("https://x/y", NameError::Transport),
            ("dir:/tmp/x", NameError::Transport),
            ("docker://127.0.0.1:5000", NameError::NoRepository),
            ("docker://localhost", NameError::NoRepository),
            ("docker://registry.example.com/", NameError::NoRepository),
            ("docker://[::1]:5000", NameError::NoRepository),
            ("docker://HOST:5000", NameError::NoRepository),
            ("docker://Crew:2", NameError::UpperCase),
            ("docker://user:word@registry.example.com/crew:1", NameError::Login),
            ("docker://user@registry.example.com/crew:1", NameError::Login),
        ] {
            assert_eq!(ImageName::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_registry_without_a_repository_has_the_name_to_write() {
        for (text, hint) in [
            ("docker://HOST:5000", "add the repository: docker://host:5000/REPO:TAG"),
            ("docker://registry.example.com/", "add the repository: docker://registry.example.com/REPO:TAG"),
        ] {
            assert_eq!(ImageName::parse(text).unwrap_err().hint(text), hint);
        }
        let may_be_host = |text| match ImageName::parse(text).unwrap() {
            ImageName::Registry(name) => name.may_be_host(),
            other => panic!("{other}"),
        };
        assert!(may_be_host("docker://myhost:5000"));
        for text in ["docker://redis:7", "docker://crew", "docker://team/crew:5000", "docker://myhost:5000/crew"] {
            assert!(!may_be_host(text), "{text}");
        }
    }

    #[test]
    fn a_path_has_words_and_separators_of_255_characters() {
        let longest = format!("ghcr.io/{}", "x".repeat(255));
        for name in ["ghcr.io/my_crew", "ghcr.io/my__crew", "ghcr.io/my---crew", "ghcr.io/my.crew", &longest] {
            assert_eq!(engine(name).path(), &name["ghcr.io/".len()..]);
        }
    }
}
