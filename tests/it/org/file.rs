//! The org file on disk: which one is found, who may read it, and where keys come from.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::project::{Project, Ran};
use insta::{allow_duplicates, assert_snapshot};
use secretbake::diagnostic::Status;
use secretbake::org::Settings;
use secretbake::org::file::{Keys, Location, Variables, find, keys, load};
use secretbake::runtime::platform::Folders;
use tempfile::TempDir;

fn nothing(_: &str) -> Option<OsString> {
    None
}

fn org(directory: &TempDir, secret: &str, mode: u32) -> PathBuf {
    let text = format!(
        "version: 1\ncredentials:\n  - name: aws-prod\n    provider: aws-secrets-manager\n    region: us-east-1\n    \
         access_key_id: AKIAIOSFODNN7EXAMPLE\n    secret_access_key: {secret}\n"
    );
    file(directory, "org.yaml", &text, mode)
}

fn file(directory: &TempDir, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = directory.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    path
}

/// Returns the keys of the org file's first credential.
fn keys_of(path: &Path, environment: Variables<'_>) -> Result<Keys, String> {
    let shown = |error: secretbake::diagnostic::Error| {
        format!("{:?}: {error}", error.status).replace(&format!("{}/", path.parent().unwrap().display()), "")
    };
    let loaded = load(Some(path), environment).map_err(shown)?;
    let credential = &loaded.org.credentials[0];
    let Settings::Aws(settings) = &credential.settings else { panic!("an AWS credential") };
    let keys = keys(&loaded.org, credential, settings, &loaded.directory, environment).map_err(shown)?;
    Ok(keys.expect("static keys"))
}

fn problem(path: &Path) -> String {
    keys_of(path, Variables::new(&nothing)).err().unwrap()
}

#[test]
fn the_first_of_the_places_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let (config, machine) = (directory.path().join("home/.config"), directory.path().join("etc"));
    let (user, shared) = (config.join("secretbake/org.yaml"), machine.join("secretbake/org.yaml"));
    let folders = Folders { config: Some(config), machine: Some(machine), ..Folders::default() };
    let environment = Variables::new(&nothing).with_places(None, &folders);
    assert_eq!(find(None, environment), None);
    fs::create_dir_all(shared.parent().unwrap()).unwrap();
    fs::write(&shared, "").unwrap();
    assert_eq!(find(None, environment), Some(Location::Path(shared)));
    fs::create_dir_all(user.parent().unwrap()).unwrap();
    fs::write(&user, "").unwrap();
    assert_eq!(find(None, environment), Some(Location::Path(user)));
    assert_eq!(find(Some(Path::new("-")), environment), Some(Location::StandardInput));
    let named = environment.with_places(Some(Path::new("named.yaml")), &folders);
    assert_eq!(find(None, named), Some(Location::Path("named.yaml".into())));
    let given = Some(Location::Path("given.yaml".into()));
    assert_eq!(find(Some(Path::new("given.yaml")), named), given);
}

#[test]
fn a_file_that_cannot_be_read_is_not_passed_over_for_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let [config, machine] = ["config", "etc"].map(|name| directory.path().join(name));
    for folder in [&config, &machine] {
        fs::create_dir_all(folder.join("secretbake")).unwrap();
    }
    fs::write(machine.join("secretbake/org.yaml"), "version: 1\ncredentials: []\n").unwrap();
    let user = config.join("secretbake/org.yaml");
    std::os::unix::fs::symlink("org.yaml", &user).unwrap();
    let folders = Folders { config: Some(config), machine: Some(machine), ..Folders::default() };
    let error = load(None, Variables::new(&nothing).with_places(None, &folders)).err().unwrap();
    assert_eq!(error.status, Status::Failed);
    assert_snapshot!(error.to_string().replace(user.to_str().unwrap(), "org.yaml"), @"
    error: cannot read org.yaml: Too many levels of symbolic links (os error 40)
      hint: check the disk and the file system that it is on
    ");
}

#[test]
fn a_named_file_must_be_there() {
    let error = load(Some(Path::new("/nonexistent/org.yaml")), Variables::new(&nothing)).err().unwrap();
    assert_eq!(error.status, Status::Invalid);
    assert_snapshot!(error, @"
    error: no org file at /nonexistent/org.yaml
      hint: check the path
    ");
    let error = load(Some(Path::new("/dev/null")), Variables::new(&nothing)).err().unwrap();
    assert_snapshot!(error, @"
    error: /dev/null is not a regular file
      hint: name the file itself; an org file can also come on standard input, with `--org -`
    ");
}

#[test]
fn a_key_in_the_file_needs_a_file_that_is_closed_to_others() {
    let directory = tempfile::tempdir().unwrap();
    for mode in [0o600, 0o640, 0o660] {
        let keys = keys_of(&org(&directory, "canary-key", mode), Variables::new(&nothing)).ok().unwrap();
        assert!(keys.secret_access_key.expose() == b"canary-key" && keys.session_token.is_none());
        assert_eq!(keys.access_key_id, "AKIAIOSFODNN7EXAMPLE");
    }
    for mode in [0o644, 0o642, 0o601] {
        assert!(problem(&org(&directory, "canary-key", mode)).contains(&format!("(mode 0{mode:o})")));
    }
    assert_snapshot!(problem(&org(&directory, "canary-key", 0o644)), @"
    Invalid: error: org.yaml holds a key, and others may read or change it (mode 0644)
      hint: chmod o= org.yaml
    ");
}

#[test]
fn a_file_without_a_key_may_be_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = org(&directory, "{ env: PROD_KEY }", 0o644);
    let lookup = |name: &str| (name == "PROD_KEY").then(|| OsString::from("from-env"));
    assert!(keys_of(&path, Variables::new(&lookup)).ok().unwrap().secret_access_key.expose() == b"from-env");
    assert_snapshot!(problem(&path), @"
    Invalid: org.yaml:3:5: credentials.aws-prod.secret_access_key: the environment variable PROD_KEY is not set
      hint: set PROD_KEY to the key, or name the variable that holds it
    ");
}

#[test]
fn a_key_from_a_file_loses_its_newline() {
    let directory = tempfile::tempdir().unwrap();
    let path = org(&directory, "{ file: prod.key }", 0o644);
    assert_snapshot!(problem(&path), @"
    Invalid: org.yaml:3:5: credentials.aws-prod.secret_access_key: no key file at prod.key
      hint: check the path
    ");
    for text in ["from-file", "from-file\n", "from-file\r\n"] {
        file(&directory, "prod.key", text, 0o600);
        assert!(keys_of(&path, Variables::new(&nothing)).ok().unwrap().secret_access_key.expose() == b"from-file");
    }
    file(&directory, "prod.key", "canary", 0o604);
    assert_snapshot!(problem(&path), @"
    Invalid: org.yaml:3:5: credentials.aws-prod.secret_access_key: prod.key holds a key, and others may read or change it (mode 0604)
      hint: chmod o= prod.key
    ");
    file(&directory, "prod.key", "canary key", 0o600);
    assert_snapshot!(problem(&path), @"
    Invalid: org.yaml:3:5: credentials.aws-prod.secret_access_key: prod.key contains spaces or other characters that a key cannot have
      hint: copy the key again, without quotes and spaces around it
    ");
    file(&directory, "prod.key", "\n", 0o600);
    assert_snapshot!(problem(&path), @"
    Invalid: org.yaml:3:5: credentials.aws-prod.secret_access_key: prod.key is empty
      hint: copy the key again, without quotes and spaces around it
    ");
}

#[test]
fn a_key_may_have_16_kib() {
    let directory = tempfile::tempdir().unwrap();
    let path = org(&directory, "{ env: PROD_KEY }", 0o644);
    let of_length = |length: usize| move |_: &str| Some(OsString::from("k".repeat(length)));
    assert!(keys_of(&path, Variables::new(&of_length(16 << 10))).is_ok());
    for length in [(16 << 10) + 1, (16 << 10) + 2] {
        let error = keys_of(&path, Variables::new(&of_length(length))).err().unwrap();
        assert!(error.to_string().contains("the environment variable PROD_KEY is too long for a key"), "{error}");
    }
}

#[test]
fn paths_in_a_linked_org_file_start_at_the_link() {
    let (linked, real) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let link = linked.path().join("org.yaml");
    std::os::unix::fs::symlink(org(&real, "{ file: prod.key }", 0o600), &link).unwrap();
    file(&real, "prod.key", "beside-the-file", 0o600);
    assert!(problem(&link).contains("no key file at prod.key"));
    file(&linked, "prod.key", "beside-the-link", 0o600);
    let keys = keys_of(&link, Variables::new(&nothing)).ok().unwrap();
    assert!(keys.secret_access_key.expose() == b"beside-the-link");
}

#[test]
fn a_key_that_stands_where_a_name_belongs_is_not_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let letters = "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY00";
    for source in [format!("{{ env: {letters} }}"), "{ env: wJalr/K7MDENG }".into(), "{ env: 7MDENG }".into()] {
        allow_duplicates! {
            assert_snapshot!(problem(&org(&directory, &source, 0o600)), @"
            Invalid: org.yaml:7:31: credentials[0].secret_access_key.env: not a variable name
              hint: name the variable that holds the key: letters, digits and `_`
            ");
        }
    }
    for key in [letters, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "/wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE"] {
        allow_duplicates! {
            assert_snapshot!(problem(&org(&directory, &format!("{{ file: {key} }}"), 0o600)), @"
            Invalid: org.yaml:7:32: credentials[0].secret_access_key.file: a key instead of the path of its file
              hint: name the file that holds the key; if this is its name, write it as ./NAME
            ");
        }
        for source in [format!("{{ {key}: }}"), format!("{{ {key}: env }}"), format!("{{ env: KEY, {key}: }}")] {
            allow_duplicates! {
                assert_snapshot!(problem(&org(&directory, &source, 0o600)), @"
                Invalid: org.yaml:7:24: credentials[0].secret_access_key: not one source for the key
                  hint: write `{ env: NAME }` or `{ file: PATH }`
                ");
            }
        }
    }
    assert_snapshot!(problem(&org(&directory, "12345678", 0o600)), @"
    Invalid: org.yaml:7:24: credentials[0].secret_access_key: a number where a string is expected
      hint: put it in quotes
    ");
}

#[test]
fn the_names_of_variables_and_files_may_be_long() {
    let directory = tempfile::tempdir().unwrap();
    let name = "AWS_SECRETS_MANAGER_PRODUCTION_SECRET_ACCESS_KEY";
    assert!(problem(&org(&directory, &format!("{{ env: {name} }}"), 0o600)).contains(&format!("{name} is not set")));
    for path in
        ["/run/secrets/production/deployments/secretaccesskey", "keys/AwsProduction/deployments/secret-access.key"]
    {
        assert!(problem(&org(&directory, &format!("{{ file: {path} }}"), 0o600)).contains("no key file at "), "{path}");
    }
}

#[test]
fn the_two_halves_of_a_key_are_not_taken_for_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let text = |id: &str| {
        fs::read_to_string(org(&directory, "{ env: KEY }", 0o600)).unwrap().replace("AKIAIOSFODNN7EXAMPLE", id)
    };
    for id in
        ["wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY00", "AKIAiosfodnn7example", "AROAIOSFODNN7EXAMPLE", "AKIA", "AKIA..."]
    {
        let path = file(&directory, "org.yaml", &text(id), 0o600);
        allow_duplicates! {
            assert_snapshot!(problem(&path), @"
            Invalid: org.yaml:6:20: credentials[0].access_key_id: not an access key ID
              hint: it begins with AKIA, or ASIA for temporary keys; copy it from the user's Security credentials
            ");
        }
    }
    for id in ["AKIAEXAMPLE", "ASIAIOSFODNN7EXAMPLE", &format!("AKIA{}", "A".repeat(124))] {
        let path = file(&directory, "org.yaml", &text(id), 0o600);
        assert!(problem(&path).contains("KEY is not set"), "{id}");
    }
}

#[test]
fn a_list_of_no_names_and_a_seal_for_nobody_are_refused() {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - { name: a, provider: file, path: x, allow: [] }\n  \
         - { name: b, provider: file, path: x, allow: crew }\nseal: {}\n",
    );
    project.write("deploy.yaml", "version: 1\nenv: { A: plain }\n");
    let ran = project.run(&["check", "deploy.yaml"]);
    assert_eq!(ran.status, Some(2));
    assert_snapshot!(ran.stderr, @r#"
    secretbake.org.yaml:3:48: credentials[0].allow: no name is listed
      hint: list the names that manifests may use, as in `allow: ["crew/*"]`, or leave `allow` out to allow all
    secretbake.org.yaml:4:48: credentials[1].allow: expected a list, found a single value
      hint: write a list: `allow: [first, second]`
    secretbake.org.yaml:5:7: seal: names no recipient
      hint: write `seal: { recipients: [age1...] }`, or `seal: required`
    3 errors in 1 file
    "#);
}

#[test]
fn an_entry_may_name_a_credential_and_its_provider() {
    let project = Project::with_file("  db: canary\n");
    project.write("deploy.yaml", "version: 1\nenv:\n  DB: { secret: db, credential: local, provider: file }\n");
    let ran = project.run(&["check", "deploy.yaml"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
}

/// Checks a manifest with an org file whose credential is in a region.
fn check_with_region(region: &str) -> Ran {
    let project = Project::empty();
    let org = "version: 1\ncredentials:\n  - name: aws-prod\n    provider: aws-secrets-manager\n    default: true\n    region: ";
    project.write("secretbake.org.yaml", &format!("{org}{region}\n"));
    project.write("deploy.yaml", "version: 1\nimage: { base: scratch, tags: [a:1] }\nenv:\n  DB: { secret: db }\n");
    project.run(&["check", "deploy.yaml"])
}

#[test]
fn what_has_not_the_form_of_a_region_is_refused_offline() {
    let ran = check_with_region("mars-1");
    assert_eq!(ran.status, Some(2));
    insta::assert_snapshot!(ran.stderr, @"
    secretbake.org.yaml:6:13: credentials[0].region: not a region
      hint: write the region's code, as in us-east-1
    ");
}

#[test]
fn a_region_that_may_be_new_is_warned_of() {
    let ran = check_with_region("us-esat-1");
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    insta::assert_snapshot!(ran.stderr, @"
    secretbake.org.yaml:6:13: credentials[0].region: warning: not a region known to this version
      hint: did you mean `region: us-east-1`?
    checked 1 manifest: 1 warning
    ");
    insta::assert_snapshot!(check_with_region("xx-nowhere-1").stderr, @"
    secretbake.org.yaml:6:13: credentials[0].region: warning: not a region known to this version
      hint: check the list of regions in the AWS console; a newer region works too
    checked 1 manifest: 1 warning
    ");
}
