//! "The value in the container is the value in Secrets Manager, byte for byte."

use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::moto::Moto;
use crate::support::project::Project;

const PEM: &str = "-----BEGIN CERTIFICATE-----\nMIIB\n+/==\n-----END CERTIFICATE-----\n";

#[test]
fn each_value_reaches_the_container_byte_for_byte_on_every_engine() {
    for engine in Engine::all() {
        values_reach_the_container(&engine);
    }
}

fn values_reach_the_container(engine: &Engine) {
    let moto = Moto::new();
    let large = "0123456789abcdef".repeat(4096);
    moto.text("plain", " spaced 'quoted\" $HOME `x` \\ ");
    moto.text("pem", PEM);
    moto.text("large", &large);
    moto.text("utf8", "naïve – 秘密 🔑");
    let json = json!({ "a.b": "dotted", "a-b": "dashed", "empty": "", "deep": { "list": [1, "two"] }, "pem": PEM });
    let json = json.to_string().replacen(
        '{',
        r#"{"number":1.10,"big":12345678901234567890,"flag":true,"object":{ "x" : 1 },"#,
        1,
    );
    let arn = moto.text("json", &json);
    moto.binary("binary", &[0, 159, 146, 150, 255]);
    moto.text("rotated", "first");
    moto.rotate("rotated", "second");

    let cases = [
        ("PLAIN", "plain", "", " spaced 'quoted\" $HOME `x` \\ "),
        ("PEM", "pem", "", PEM),
        ("LARGE", "large", "", &large),
        ("UTF8", "utf8", "", "naïve – 秘密 🔑"),
        ("NUMBER", "json#number", "", "1.10"),
        ("BIG", "json#big", "", "12345678901234567890"),
        ("FLAG", "json#flag", "", "true"),
        ("OBJECT", "json#object", "", "{ \"x\" : 1 }"),
        ("DOTTED", "json#a.b", "", "dotted"),
        ("DASHED", "json#a-b", "", "dashed"),
        ("EMPTY", "json#empty", "", ""),
        ("DEEP", "json#/deep/list/1", "", "two"),
        ("JSON_PEM", "json#pem", "", PEM),
        ("BINARY", "binary", "encoding: base64", "AJ+Slv8="),
        ("CURRENT", "rotated", "", "second"),
        ("PREVIOUS", "rotated", "version_stage: AWSPREVIOUS", "first"),
        ("BY_ROLE", "plain", "credential: role", " spaced 'quoted\" $HOME `x` \\ "),
    ];
    let base = engine.load(&TestImage::busybox(json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"] })));
    let mut manifest =
        format!("version: 1\nimage:\n  base: {}\n  tags: [{}]\nenv:\n  LOG_LEVEL: info\n", base.name, base.baked());
    for (variable, secret, more, _) in &cases {
        manifest += &format!("  {variable}:\n    secret: {}\n", moto.name(secret));
        if !more.is_empty() {
            manifest += &format!("    {more}\n");
        }
    }
    manifest += &format!("  BY_ARN:\n    secret: {arn}#a.b\n");
    manifest += &format!("  ABSENT:\n    secret: {}\n    optional: true\n", moto.name("absent"));
    manifest += &format!("  NO_KEY:\n    secret: {}\n    optional: true\n", moto.name("json#absent"));
    Project::with_moto(&moto).on(engine).baked(&manifest);

    let value = |name: &str| {
        let print = format!("printf %s \"${name}\"");
        String::from_utf8(engine.run(&[&base.baked(), "sh", "-c", &print])).unwrap()
    };
    for (variable, _, _, expected) in cases {
        assert!(value(variable) == expected, "{variable} on {}", engine.name);
    }
    assert_eq!(value("BY_ARN"), "dotted");
    assert_eq!(value("LOG_LEVEL"), "info");
    let names = engine.run(&[&base.baked(), "sh", "-c", "echo ${EMPTY+set} ${ABSENT+set} ${NO_KEY+set}"]);
    assert_eq!(String::from_utf8(names).unwrap(), "set\n");
}

#[test]
fn a_rotated_secret_takes_a_redeploy() {
    let (engine, moto) = (Engine::one(), Moto::new());
    moto.text("token", "old");
    // a base of its own: --prune-replaced removes what was baked from it
    let labels = json!({ "test": crate::support::unique("rotated") });
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"], "Labels": labels })));
    let manifest = format!(
        "version: 1\nimage:\n  base: {}\n  tags: [{}]\nenv:\n  TOKEN:\n    secret: {}\n",
        base.name,
        base.baked(),
        moto.name("token")
    );
    let project = Project::with_moto(&moto).on(&engine);
    let token = || String::from_utf8(engine.run(&[&base.baked(), "sh", "-c", "printf %s \"$TOKEN\""])).unwrap();

    project.baked(&manifest);
    let first = engine.id(&base.baked());
    moto.rotate("token", "new");
    assert_eq!(token(), "old");
    project.baked(&manifest);
    assert_eq!(token(), "new");
    assert_ne!(engine.id(&base.baked()), first);
    let first = first.unwrap();
    assert!(engine.id(&first).is_some(), "the old image stays until it is asked for");
    engine.cli(&["rmi", "-f", &first]);

    // --prune-replaced removes the old image, unless a container uses it
    let second = engine.id(&base.baked()).unwrap();
    moto.rotate("token", "newer");
    let ran = project.run(&["bake", "deploy.yaml", "--prune-replaced"]);
    assert_eq!(
        (ran.status, ran.brief().as_str()),
        (Some(0), format!("removed: the previous image {second}\nbaked\n").as_str())
    );
    assert_eq!(engine.id(&second), None);
    let third = engine.id(&base.baked()).unwrap();
    let name = crate::support::unique("sbtest-uses");
    engine.cli(&["create", "--network", "none", "--name", &name, &base.baked()]);
    moto.rotate("token", "newest");
    let ran = project.run(&["bake", "deploy.yaml", "--prune-replaced", "--format", "json"]);
    let said = format!("the image {third} is still in use, so its secrets are still there");
    assert!(ran.stderr.starts_with(&format!("warning: {said}\n")), "{}", ran.stderr);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["images"][0]["diagnostics"][0]["message"], said, "{report}");
    assert!(engine.id(&third).is_some());
    // with =base it comes back to it once it is free, whether there is anything to bake or not
    let ran = project.run(&["bake", "deploy.yaml", "--prune-replaced"]);
    assert_eq!((ran.status, ran.brief().as_str()), (Some(0), "unchanged\n"));
    let still = project.run(&["bake", "deploy.yaml", "--prune-replaced=base"]);
    assert!(still.stderr.starts_with(&format!("warning: {said}\n")), "{}", still.stderr);
    engine.cli(&["rm", "-f", &name]);
    let ran = project.run(&["bake", "deploy.yaml", "--prune-replaced=base", "--format", "json"]);
    let said = format!("removed: the previous image {third}\nunchanged\n");
    assert_eq!((ran.status, ran.brief().as_str()), (Some(0), said.as_str()));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["removed"], json!([third]));
    assert_eq!(engine.id(&third), None);
    assert_eq!(token(), "newest");
}

#[test]
fn pruning_leaves_other_deployments_of_the_same_base_alone() {
    for engine in Engine::all() {
        let moto = Moto::new();
        moto.text("token", "first");
        let labels = json!({ "test": crate::support::unique("shared") });
        let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"], "Labels": labels })));
        let (one, other) = (base.baked(), engine.name("other"));
        let manifest = |tag: &str| {
            let secret = moto.name("token");
            format!(
                "version: 1\nimage: {{ base: '{}', tags: ['{tag}'] }}\nenv: {{ TOKEN: {{ secret: {secret} }} }}\n",
                base.name
            )
        };
        let project = Project::with_moto(&moto).on(&engine);
        project.write("other.yaml", &manifest(&other));
        project.baked(&manifest(&one));
        let ran = project.run(&["bake", "other.yaml"]);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        moto.rotate("token", "second");
        project.baked(&manifest(&one));
        let replaced = engine.id(&other).unwrap();
        let ran = project.run(&["bake", "other.yaml", "--prune-replaced"]);
        let said = format!("removed: the previous image {replaced}\nbaked\n");
        assert_eq!((ran.status, ran.brief().as_str()), (Some(0), said.as_str()), "{}", engine.name);
        assert!(engine.id(&one).is_some(), "{}", engine.name);
    }
}

#[test]
fn an_image_whose_tags_one_run_moves_by_several_manifests_is_removed_too() {
    for engine in Engine::all() {
        let moto = Moto::new();
        moto.text("token", "first");
        let labels = json!({ "test": crate::support::unique("several") });
        let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"], "Labels": labels })));
        let project = Project::with_moto(&moto).on(&engine);
        let files = ["one.yaml", "two.yaml", "three.yaml"];
        for (file, tag) in files.iter().zip([base.baked(), engine.name("two"), engine.name("three")]) {
            let secret = moto.name("token");
            project.write(
                file,
                &format!(
                    "version: 1\nimage: {{ base: '{}', tags: ['{tag}'] }}\nenv: {{ TOKEN: {{ secret: {secret} }} }}\n",
                    base.name
                ),
            );
        }
        let bake = |more: &[&str]| {
            let ran = project.run(&[&["bake"][..], &files[..], more].concat());
            assert_eq!(ran.status, Some(0), "{}", ran.stderr);
            (ran.stderr, engine.id(&base.baked()).unwrap())
        };
        let (_, first) = bake(&[]);
        moto.rotate("token", "second");
        let (said, second) = bake(&[]);
        let warned = said.matches("is now untagged and still holds the old secrets").count();
        assert_eq!((warned, said.contains(&first)), (1, true), "{}: {said}", engine.name);
        moto.rotate("token", "third");
        let (said, _) = bake(&["--prune-replaced"]);
        let removed = said.matches("removed: the previous image ").count();
        assert_eq!((removed, said.contains(&second)), (1, true), "{}: {said}", engine.name);
        assert_eq!(engine.id(&second), None, "{}", engine.name);
    }
}

#[test]
fn an_image_without_secrets_that_loses_its_tag_is_not_said_to_hold_any() {
    let project = Project::with_file("  a: canary\n").on(&Engine::one());
    let base = Engine::one().load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })));
    let bake = |env: &str| {
        let image = format!("image: {{ base: '{}', tags: ['{}'] }}", base.name, base.baked());
        project.baked(&format!("version: 1\n{image}\nenv:\n  {env}\n  O: {{ secret: none, optional: true }}\n")).stderr
    };
    assert_eq!(bake("LEVEL: info"), "");
    assert_eq!(bake("LEVEL: debug"), "");
    assert_eq!(bake("A: { secret: a }"), "");
    assert!(bake("LEVEL: info").contains("is now untagged and still holds the old secrets"));
}

#[test]
fn an_environment_that_no_container_starts_with_is_refused_and_a_large_one_warned_of() {
    let project = Project::with_file(&format!("  large: {}\n", "x".repeat(100_000)));
    let manifest = |tag: &str, variables: usize, inject: &str| {
        let variables: String = (0..variables).map(|number| format!("  V{number}: {{ secret: large }}\n")).collect();
        format!("version: 1\nimage: {{ base: scratch, tags: ['oci:{tag}:1'], inject: {inject} }}\nenv:\n{variables}")
    };
    let ran = project.bake(&manifest("large", 70, "launcher"));
    assert_eq!(
        ran.stderr,
        "deploy.yaml:1:1: env: the variables take 6.7 MiB, and a program starts with 6 MiB at most\n  \
         hint: put the large values under `files:`, or all of them in a file of your own with `inject: file`\n"
    );
    assert_eq!(ran.status, Some(1));
    let ran = project.baked(&manifest("warned", 20, "launcher"));
    assert!(ran.stderr.starts_with("deploy.yaml:1:1: env: warning: the variables take 1.9 MiB"), "{}", ran.stderr);
    assert_eq!(project.baked(&manifest("fine", 10, "launcher")).brief(), "baked\n");
    assert_eq!(project.baked(&manifest("file", 70, "file")).brief(), "baked\n");
}
