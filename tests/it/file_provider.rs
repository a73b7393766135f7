//! The file provider: what its file may hold, and what is said of what it does not.

use std::fs;

use insta::assert_snapshot;
use secretbake::manifest::Version;
use secretbake::manifest::reference::SecretId;
use secretbake::secrets::file::FileProvider;
use secretbake::secrets::{Provider, ProviderError, SecretValue};
use tempfile::TempDir;

const SECRETS: &str = r#"
version: 1
secrets:
  short: plain-text
  empty: ""
  database:
    value: '{"password":"second"}'
    version_id: v2
    stages:
      AWSPREVIOUS: { value: '{"password":"first"}', version_id: v1 }
  tls/server: { value_file: server.pem }
  blob: { base64: "AAEC /w==" }
  lost: { value_file: lost.pem }
"#;

fn with(text: &str) -> (TempDir, Result<FileProvider, String>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets.yaml");
    fs::write(&path, text).unwrap();
    fs::write(directory.path().join("server.pem"), "-----BEGIN\n").unwrap();
    let name = directory.path().display().to_string() + "/";
    let provider = FileProvider::open(&path).map_err(|error| error.to_string().replace(&name, ""));
    (directory, provider)
}

async fn read(name: &str, version: Version) -> Result<SecretValue, ProviderError> {
    let (_directory, provider) = with(SECRETS);
    provider.unwrap_or_else(|error| panic!("{error}")).read(&SecretId::new(name).unwrap(), &version).await
}

async fn problem(name: &str, version: Version) -> String {
    let failure = read(name, version).await.err().unwrap();
    let text = format!("{:?}: {}", failure.kind, failure.diagnostic);
    // the directory has another name in each run
    let words = text.split(' ').map(|word| match word.rsplit_once('/') {
        Some((before, file)) if before.contains("/tmp") || before.contains("/.tmp") => {
            format!("{}{file}", if before.starts_with('(') { "(" } else { "" })
        }
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn every_kind_of_value_is_read() {
    for (name, version, bytes, binary, version_id) in [
        ("short", Version::Current, &b"plain-text"[..], false, None),
        ("empty", Version::Current, b"", false, None),
        ("database", Version::Current, br#"{"password":"second"}"#, false, Some("v2")),
        ("database", Version::Stage("AWSCURRENT".to_owned()), br#"{"password":"second"}"#, false, Some("v2")),
        ("database", Version::Stage("AWSPREVIOUS".to_owned()), br#"{"password":"first"}"#, false, Some("v1")),
        ("database", Version::Id("v1".to_owned()), br#"{"password":"first"}"#, false, Some("v1")),
        ("tls/server", Version::Current, b"-----BEGIN\n", false, None),
        ("blob", Version::Current, &[0, 1, 2, 255], true, None),
    ] {
        let value = read(name, version).await.map_err(|failure| failure.diagnostic.to_string()).unwrap();
        assert!(value.bytes.expose() == bytes, "{name}");
        assert_eq!((value.binary, value.version_id.as_deref(), value.arn), (binary, version_id, None), "{name}");
    }
}

#[tokio::test]
async fn a_secret_that_is_not_there() {
    assert_snapshot!(problem("datbase", Version::Current).await, @"
    NotFound: error: secret not found: datbase (secrets.yaml)
      hint: did you mean `database`?
    ");
    assert_snapshot!(problem("something-else", Version::Current).await, @"
    NotFound: error: secret not found: something-else (secrets.yaml)
      hint: add it under `secrets:`; the file has `blob`, `database`, `empty`, `lost`, `short`, `tls/server`
    ");
    let (_directory, empty) = with("version: 1\n");
    let empty = empty.unwrap_or_else(|error| panic!("{error}"));
    let problem = empty.read(&SecretId::new("db").unwrap(), &Version::Current).await.err().unwrap().diagnostic;
    assert_eq!(problem.hints, ["add `db: VALUE` under `secrets:`; the file has none yet"]);
}

#[tokio::test]
async fn a_version_that_is_not_there() {
    assert_snapshot!(problem("database", Version::Stage("AWSPENDING".to_owned())).await, @"
    NotFound: error: secret version not found: database has none with the stage AWSPENDING (secrets.yaml)
      hint: its stages are `AWSCURRENT`, `AWSPREVIOUS`
    ");
    assert_snapshot!(problem("database", Version::Id("v9".to_owned())).await, @"
    NotFound: error: secret version not found: database has none with the ID v9 (secrets.yaml)
      hint: its stages are `AWSCURRENT`, `AWSPREVIOUS`
    ");
}

#[tokio::test]
async fn a_value_file_that_is_not_there() {
    assert_snapshot!(problem("lost", Version::Current).await, @"
    Other: error: cannot read the value of lost from lost.pem: No such file or directory (os error 2)
      hint: `value_file` is relative to secrets.yaml
    ");
}

#[tokio::test]
async fn descriptions_and_names() {
    let (_directory, provider) = with(SECRETS);
    let provider = provider.unwrap_or_else(|error| panic!("{error}"));
    let known = provider.describe(&SecretId::new("database").unwrap(), &Version::Current).await.unwrap();
    assert_eq!(known.stages(), ["AWSCURRENT", "AWSPREVIOUS"]);
    assert_eq!(known.versions[0].id.as_deref(), Some("v1"));
    assert_eq!(provider.list("").await.unwrap(), ["blob", "database", "empty", "lost", "short", "tls/server"]);
    assert_eq!(provider.list("tls/").await.unwrap(), ["tls/server"]);
}

#[test]
fn every_problem_is_named_and_no_value_with_it() {
    let text = r#"
version: 1
secrets:
  pin: 314159
  none:
  both: { value: canary, base64: Y2FuYXJ5 }
  neither: { version_id: v1 }
  bad: { base64: "canary!" }
  list: [canary]
  misspelt: { valeu: canary }
  "not a name": x
  stages: { value: x, stages: { AWSCURRENT: { value: canary } } }
"#;
    let error = with(text).1.err().unwrap();
    assert!(!error.contains("canary") && !error.contains("314159"), "{error}");
    assert_snapshot!(error, @r#"
    secrets.yaml:4:8: secrets.pin: a number where a string is expected
      hint: put the value in quotes
    secrets.yaml:5:7: secrets.none: a null where a string is expected
      hint: write "" for the empty string
    secrets.yaml:6:9: secrets.both: more than one value
      hint: give one of value, value_file and base64
    secrets.yaml:7:12: secrets.neither: no value
      hint: give one of value, value_file and base64
    secrets.yaml:8:18: secrets.bad.base64: not base64
      hint: encode the value: `base64 FILE`
    secrets.yaml:9:9: secrets.list: expected a mapping, found a list
      hint: write its fields below it, each as `FIELD: VALUE`: value, value_file, base64, version_id, stages
    secrets.yaml:10:13: secrets.misspelt: no value
      hint: give one of value, value_file and base64
    secrets.yaml:10:15: secrets.misspelt.valeu: unknown field
      hint: did you mean `value`?
    secrets.yaml:11:3: secrets: not a secret name
      hint: a name holds only letters, digits and /_+=.@-!
    secrets.yaml:12:33: secrets.stages.stages.AWSCURRENT: this stage is the value of the secret itself
      hint: move its value there
    "#);
}

#[test]
fn secrets_that_are_not_under_their_field_are_shown_where_they_go() {
    assert_snapshot!(with("db: canary\n").1.err().unwrap(), @"
    secrets.yaml:1:1: db: unknown field
      hint: write the secrets under `secrets:`
    secrets.yaml:1:1: version: missing
      hint: begin the file with `version: 1`
    ");
}

#[test]
fn no_file() {
    let error = FileProvider::open("/nonexistent/secrets.yaml".as_ref()).err().unwrap();
    assert_snapshot!(error, @"
    error: cannot read the secrets file /nonexistent/secrets.yaml: No such file or directory (os error 2)
      hint: `path` in the org file is relative to the org file
    ");
}

#[test]
fn the_documented_file_is_read() {
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/file-provider.md")).unwrap();
    let file = docs.split("```yaml\n").last().and_then(|rest| rest.split("```").next()).unwrap();
    with(file).1.unwrap_or_else(|error| panic!("{error}"));
}
