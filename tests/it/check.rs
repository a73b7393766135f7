//! "Show it where I review": `check` as JSON, as GitHub annotations, for GitLab and as SARIF.

use serde_json::{Value, json};

use crate::support::project::{Project, Ran};

const WRONG: &str = "version: 1\nenv:\n  A: 1.10\n  KEY: AKIAIOSFODNN7EXAMPLE\n  1B: canary\n";

fn check(format: &str) -> Ran {
    let project = Project::with_file("  a: canary\n");
    project.write("deploy.yaml", WRONG);
    project.run(&["check", "deploy.yaml", "--format", format])
}

#[test]
fn github_gets_a_command_for_each_problem() {
    let ran = check("github");
    assert_eq!(
        ran.stdout,
        "::error file=deploy.yaml,line=3,col=6,title=not-a-string::env.A: a number where a string is expected%0A\
         hint: write \"1.10\"\n\
         ::warning file=deploy.yaml,line=4,col=8,title=credential-in-clear::env.KEY: the plain value looks like an AWS \
         access key ID%0Ahint: store it in the secret provider and write `secret: secret-name` here\n\
         ::error file=deploy.yaml,line=5,col=3,title=bad-name::env.1B: not a variable name%0A\
         hint: start with a letter or `_`, and use only letters, digits and `_`\n"
    );
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(2), ""));
}

#[test]
fn gitlab_gets_an_issue_for_each_problem_which_stays_the_same_when_it_moves() {
    let issues = |text: &str| -> Vec<Value> {
        let project = Project::with_file("  a: canary\n");
        project.write("deploy.yaml", text);
        let ran = project.run(&["check", "deploy.yaml", "--format", "gitlab"]);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(2), ""));
        serde_json::from_str(&ran.stdout).unwrap()
    };
    let here = issues(WRONG);
    let seen: Vec<Value> = here
        .iter()
        .map(|issue| {
            json!([
                issue["check_name"],
                issue["severity"],
                issue["location"]["path"],
                issue["location"]["lines"]["begin"]
            ])
        })
        .collect();
    assert_eq!(
        json!(seen),
        json!([
            ["not-a-string", "major", "deploy.yaml", 3],
            ["credential-in-clear", "minor", "deploy.yaml", 4],
            ["bad-name", "major", "deploy.yaml", 5],
        ])
    );
    assert_eq!(here[0]["description"], "env.A: a number where a string is expected\nhint: write \"1.10\"");
    let fingerprints =
        |issues: &[Value]| -> Vec<Value> { issues.iter().map(|issue| issue["fingerprint"].clone()).collect() };
    let moved = issues(&WRONG.replace("env:\n", "\nenv:\n"));
    assert_eq!(fingerprints(&moved), fingerprints(&here));
    assert!(here[0]["fingerprint"] != here[2]["fingerprint"] && moved[0]["location"]["lines"]["begin"] == 4);
}

#[test]
fn sarif_has_each_problem_with_its_rule_and_place() {
    let ran = check("sarif");
    let log: Value = serde_json::from_str(&ran.stdout).unwrap();
    let results = log["runs"][0]["results"].as_array().unwrap();
    let seen: Vec<Value> = results
        .iter()
        .map(|result| {
            let place = &result["locations"][0]["physicalLocation"];
            json!([result["ruleId"], result["level"], place["artifactLocation"]["uri"], place["region"]["startLine"]])
        })
        .collect();
    assert_eq!(
        seen,
        [
            json!(["not-a-string", "error", "deploy.yaml", 3]),
            json!(["credential-in-clear", "warning", "deploy.yaml", 4]),
            json!(["bad-name", "error", "deploy.yaml", 5]),
        ]
    );
    assert_eq!(ran.status, Some(2));
    assert!(!ran.stdout.contains("canary") && !ran.stdout.contains("AKIA"));
    let standard = serde_json::from_str(include_str!("../data/sarif-2.1.0-rtm.5.json")).unwrap();
    let standard = jsonschema::draft4::new(&standard).unwrap();
    assert!(standard.is_valid(&log));
    assert!(!standard.is_valid(&json!({ "version": "2.1.0" })));
}

#[test]
fn json_has_the_codes_and_a_right_manifest_has_none() {
    let ran = check("json");
    let found: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(found["version"], 1);
    assert_eq!(found["diagnostics"][2]["code"], "bad-name");
    let project = Project::with_file("  a: canary\n");
    project.write("deploy.yaml", "version: 1\nenv:\n  A: { secret: a }\n");
    for (format, expected) in [("github", ""), ("json", "{\n  \"version\": 1,\n  \"diagnostics\": []\n}\n")] {
        let ran = project.run(&["check", "deploy.yaml", "--format", format]);
        assert_eq!((ran.stdout.as_str(), ran.status), (expected, Some(0)), "{}", ran.stderr);
    }
}

#[test]
fn no_mistake_hides_another() {
    let project = Project::with_file("  a: canary\n");
    project.write(
        "one.yaml",
        "version: 1\nenv:\n  A: !tag canary\n  B: { secret: a, credential: nobody }\n  C: 1.10\n  \
         D: postgres://app:canary@db/app\n",
    );
    project.write("two.yaml", "version: 1\nenv: { A: { secret: a, credential: lokal } }\n");
    let ran = project.run(&["check", "one.yaml", "two.yaml", "none.yaml"]);
    assert_eq!(
        ran.stderr,
        "one.yaml:3:6: env.A: a YAML tag is not supported here\n  \
           hint: write the value without the `!` tag\n\
         one.yaml:5:6: env.C: a number where a string is expected\n  \
           hint: write \"1.10\"\n\
         one.yaml:6:6: env.D: warning: the plain value looks like a URL with a password\n  \
           hint: store it in the secret provider and write `secret: secret-name` here\n\
         error: cannot read none.yaml: No such file or directory (os error 2)\n  \
           hint: give the path of a deployment manifest\n\
         one.yaml:4:31: env.B: no credential `nobody`\n  \
           hint: secretbake.org.yaml has `local`\n\
         two.yaml:2:36: env.A: no credential `lokal`\n  \
           hint: did you mean `local`?\n5 errors, 1 warning in 2 files\n"
    );
    assert_eq!(ran.status, Some(2));
}

#[test]
fn a_value_in_the_place_of_a_credentials_name_is_shown_in_no_format() {
    let project = Project::with_file("  a: canary\n");
    for value in [
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefghijklmnopqrstuvwxyz",
        "postgres://u:pw@h/db",
        "hunter2 Secret!",
    ] {
        project.write("deploy.yaml", &format!("version: 1\nenv: {{ A: {{ secret: a, credential: \"{value}\" }} }}\n"));
        let what = "no credential has this name, which is not shown: it may be a secret";
        for format in ["text", "json", "github", "gitlab", "sarif"] {
            let ran = project.run(&["check", "deploy.yaml", "--format", format]);
            let said = ran.stdout + &ran.stderr;
            assert!(said.contains(what) && !said.contains(value), "{format}: {said}");
            assert_eq!(ran.status, Some(2));
        }
        let named = project.run(&["credential", "show", value]);
        assert_eq!(named.stderr, format!("error: {what}\n  hint: secretbake.org.yaml has `local`\n"));
    }
    let entry = "name: AKIAIOSFODNN7EXAMPLE, provider: file, path: p, default: true";
    project.write("secretbake.org.yaml", &format!("version: 1\ncredentials: [{{ {entry} }}, {{ {entry} }}]\n"));
    assert_eq!(
        project.run(&["check", "deploy.yaml"]).stderr,
        "secretbake.org.yaml:2:23: credentials[0].name: not a credential name\n  \
           also at secretbake.org.yaml:2:95: credentials[1].name\n  \
           hint: a name is a letter or digit, then letters, digits, `.`, `_` and `-`, and no key or token\n\
         2 errors in 1 file\n"
    );
}

#[test]
fn a_broken_org_file_hides_no_mistake_of_a_manifest_and_is_reported_once() {
    let project = Project::empty();
    project.write(
        "secretbake.org.yaml",
        "version: 1\ncredentials:\n  - { name: good, provider: file, path: p, foo: 1 }\n  - { name: bad, provider: file }\n  \
         - { name: half, region: US, bar: 2 }\n  - { name: bad, provider: file, path: p }\n",
    );
    project.write(
        "deploy.yaml",
        "version: 1\nenv:\n  A: { secret: a, credential: zz }\n  B: { secret: b, credential: good }\n  \
         C: { secret: c, credential: bad }\n  D: { secret: d, credential: half }\n  E: { secret: e }\n",
    );
    let ran = project.run(&["check", "deploy.yaml"]);
    assert_eq!(
        ran.stderr,
        "secretbake.org.yaml:3:44: credentials[0].foo: unknown field\n  \
           hint: known fields are name, provider, default, allow, path\n\
         secretbake.org.yaml:4:5: credentials[1].path: missing\n  \
           hint: name the file that holds the secrets\n\
         secretbake.org.yaml:5:5: credentials[2].provider: missing\n  \
           hint: write `provider: aws-secrets-manager`, `aws-parameter-store`, `command` or `file`\n\
         secretbake.org.yaml:5:27: credentials[2].region: not a region\n  \
           hint: write the region's code, as in us-east-1\n\
         secretbake.org.yaml:5:31: credentials[2].bar: unknown field\n  \
           hint: known fields are name, provider, default, allow, region, access_key_id, secret_access_key, session_token, role_arn, \
         external_id, web_identity_token, batch, command, environment, trim_newline, path\n\
         secretbake.org.yaml:6:5: credentials.bad: a second credential of this name, first on line 4\n  \
           hint: rename one of the two\n\
         deploy.yaml:3:31: env.A: no credential `zz`\n  \
           hint: secretbake.org.yaml has `good`, `bad`, `half`\n\
         7 errors in 2 files\n"
    );
    assert_eq!(ran.status, Some(2));

    // of an entry and a file that cannot be read nothing is known
    project.write("secretbake.org.yaml", "version: 1\ncredentials: [aws]\n");
    let ran = project.run(&["check", "deploy.yaml"]);
    assert_eq!(
        ran.stderr,
        "secretbake.org.yaml:2:15: credentials[0]: expected a mapping, found a single value\n  \
           hint: write its fields below it, each as `FIELD: VALUE`: name, provider, default, allow\n"
    );
    for (text, said) in [
        ("{", "secretbake.org.yaml:"),
        ("version: 1\ncredentials:\n", "secretbake.org.yaml:2:12: credentials: expected a list, found nothing\n"),
    ] {
        project.write("secretbake.org.yaml", text);
        project.write("tagged.yaml", "version: 1\nimage: { base: a }\nenv: { A: { secret: a } }\n");
        let ran = project.run(&["bake", "tagged.yaml"]);
        assert!(ran.stderr.starts_with(said), "{}", ran.stderr);
        assert!(ran.stderr.contains("tagged.yaml:1:1: image.tags: no tag for the baked image\n"), "{}", ran.stderr);
        assert!(ran.stderr.ends_with("2 errors in 2 files\n"), "{}", ran.stderr);
    }
}

#[test]
fn a_hint_for_a_list_or_a_mapping_is_right_if_it_is_pasted() {
    let project = Project::empty();
    project.write("deploy.yaml", "version: 1\nenv: { A: plain }\nimage: crew\n");
    for (written, hint) in [
        ("credentials:", "write `credentials: []`, or a list with the credentials"),
        (
            "credentials: { name: x }",
            "write a list: `credentials: [{ name: local, provider: file, path: secrets.yaml }]`",
        ),
    ] {
        project.write("secretbake.org.yaml", &format!("version: 1\n{written}\n"));
        let said = project.run(&["check", "deploy.yaml"]).stderr;
        assert!(said.contains(&format!("\n  hint: {hint}\n")), "{said}");
        let pasted = hint.split('`').nth(1).unwrap();
        project.write("secretbake.org.yaml", &format!("version: 1\n{pasted}\n"));
        assert_eq!(
            project.run(&["check", "deploy.yaml"]).stderr,
            "deploy.yaml:3:8: image: expected a mapping, found a single value\n  \
             hint: write `image: { base: NAME:TAG }`\n"
        );
    }
}

#[test]
fn an_image_that_could_not_be_read_is_not_called_missing() {
    let project = Project::with_file("  a: canary\n");
    project.write("deploy.yaml", "version: 1\nimage: { base: 'a b', tags: ['c d'] }\nenv: { A: { secret: a } }\n");
    let ran = project.run(&["bake", "deploy.yaml"]);
    assert!(ran.stderr.contains("deploy.yaml:2:16: image.base: "), "{}", ran.stderr);
    assert!(ran.stderr.contains("  also at deploy.yaml:2:30: image.tags[0]\n"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("no base image") && !ran.stderr.contains("no tag"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(2));
}

#[test]
fn two_images_cannot_be_one_target_however_it_is_spelt() {
    for (one, two) in [
        ("crew:1", "crew:1"),
        ("crew:1", "docker.io/library/crew:1"),
        ("crew", "docker-daemon:crew:latest"),
        ("crew:1", "docker.io/crew:1"),
        ("crew:1", "index.docker.io/library/crew:1"),
        ("docker://r.example/crew", "docker://r.example/crew:latest"),
        ("oci:lay:1", "oci:./lay/:1"),
        ("oci-archive:a.tar:1", "oci-archive:.//a.tar:2"),
        ("oci-archive:a.tar", "docker-archive:a.tar:crew:1"),
        ("docker-archive:-:crew:1", "oci-archive:-"),
    ] {
        let project = Project::with_file("  a: canary\n");
        for (file, tag) in [("one.yaml", one), ("two.yaml", two)] {
            project.write(file, &format!("version: 1\nimage: {{ tags: ['{tag}'] }}\nenv: {{ A: {{ secret: a }} }}\n"));
        }
        let ran = project.run(&["check", "one.yaml", "two.yaml"]);
        let (one, two) = (one.trim_start_matches("docker-daemon:"), two.trim_start_matches("docker-daemon:"));
        let spelling = if one == two { String::new() } else { format!(", as {one}") };
        assert_eq!(
            ran.stderr,
            format!(
                "two.yaml:2:17: image.tags: {two} is also written by one.yaml{spelling}\n  \
                 hint: give each image its own tag, and each archive its own file\n"
            )
        );
        assert_eq!(ran.status, Some(2));
    }
}

#[test]
fn one_image_may_have_many_tags_and_an_archive_is_of_one_kind() {
    let project = Project::with_file("  a: canary\n");
    let check = |tags: &str| {
        let image = format!("image: {{ tags: [{tags}] }}");
        project.write("deploy.yaml", &format!("version: 1\n{image}\nenv: {{ A: {{ secret: a }} }}\n"));
        project.run(&["check", "deploy.yaml"])
    };
    for tags in
        ["'crew:1', 'crew:2', 'crew:1'", "'oci:lay:1', 'oci:./lay:1'", "'docker-archive:a:x:1', 'docker-archive:a:x:2'"]
    {
        let ran = check(tags);
        assert_eq!((ran.status, ran.stderr.as_str()), (Some(0), "checked 1 manifest: no problems\n"), "{tags}");
    }
    let ran = check("'docker-archive:a:x:1', 'oci-archive:a:2'");
    assert!(
        ran.stderr.contains("oci-archive:a:2 is also written by deploy.yaml, as docker-archive:a:x:1"),
        "{}",
        ran.stderr
    );
}

#[test]
fn standard_input_is_read_by_one_only() {
    let project = Project::with_file("  a: canary\n");
    for (file, base) in [("one.yaml", "oci-archive:-"), ("two.yaml", "docker-archive:-")] {
        project.write(file, &format!("version: 1\nimage: {{ base: '{base}' }}\nenv: {{ A: {{ secret: a }} }}\n"));
    }
    project.write("org.yaml", &std::fs::read_to_string(project.path("secretbake.org.yaml")).unwrap());
    let check = |arguments: &[&str], org: &str| {
        let org = std::fs::File::open(project.path(org)).unwrap();
        project.command(&[&["check"], arguments].concat()).stdin(org).output().unwrap()
    };
    for (arguments, readers) in [
        (&["one.yaml", "two.yaml"][..], "docker-archive:- and by oci-archive:-"),
        (&["one.yaml", "--org", "-"], "--org - and by oci-archive:-"),
    ] {
        let output = check(arguments, "org.yaml");
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            format!(
                "error: standard input can be read once, not by {readers}\n  \
                 hint: name a file for all of them but one\n"
            )
        );
        assert_eq!(output.status.code(), Some(2));
    }
    assert_eq!(project.run(&["check", "one.yaml"]).status, Some(0));
    project.write("wrong.yaml", "- no org file\n");
    let output = check(&["one.yaml", "--org", "-"], "wrong.yaml");
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "-:1:1: expected a mapping, found a list\n  \
         hint: write its fields below it, each as `FIELD: VALUE`: version, credentials, seal\n\
         error: standard input can be read once, not by --org - and by oci-archive:-\n  \
         hint: name a file for all of them but one\n\
         2 errors in 1 file\n"
    );
}

#[test]
fn a_folder_is_no_manifest_and_the_hint_says_how_to_name_those_in_it() {
    let project = Project::with_file("  a: canary\n");
    std::fs::create_dir(project.path("deploy")).unwrap();
    let ran = project.run(&["check", "deploy/"]);
    assert_eq!(
        ran.stderr,
        "error: cannot read deploy/: Is a directory (os error 21)\n  hint: name the manifests in it, as in deploy/*.yaml\n"
    );
    assert_eq!(ran.status, Some(2));
}

#[test]
fn the_exit_status_does_not_depend_on_what_is_found_first() {
    let project = Project::empty();
    project.write(
        "deploy.yaml",
        "version: 1\nimage: { base: scratch, tags: ['oci:out:1'] }\nenv:\n  A: { secret: a, credential: unset }\n  \
         B: { secret: b, credential: gone }\n",
    );
    let unset = "  - { name: unset, provider: aws-secrets-manager, region: us-east-1, access_key_id: AKIAIOSFODNN7EXAMPLE, \
                 secret_access_key: { env: SBTEST_UNSET } }\n";
    let gone = "  - { name: gone, provider: file, path: none.yaml }\n";
    for entries in [[unset, gone], [gone, unset]] {
        project.write("org.yaml", &format!("version: 1\ncredentials:\n{}", entries.concat()));
        let ran = project.run(&["bake", "deploy.yaml", "--org", "org.yaml"]);
        assert_eq!((ran.status, ran.stderr.matches("hint: ").count()), (Some(2), 2), "{}", ran.stderr);
    }
}

#[test]
fn another_tools_word_for_check_suggests_it() {
    let ran = Project::empty().run(&["validate", "deploy.yaml"]);
    assert!(ran.stderr.contains("tip: a similar subcommand exists: 'check'"), "{}", ran.stderr);
    assert_eq!(ran.status, Some(2));
}
