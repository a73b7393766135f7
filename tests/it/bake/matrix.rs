//! "From any base to any target": what the table in docs/images.md says is what happens, on every engine.

use serde_json::json;

use crate::support::engine::Engine;
use crate::support::image::{TestImage, digest};
use crate::support::project::Project;
use crate::support::skopeo::{copy, skopeo};
use crate::support::{unique, variable};

/// Returns the table: each base with what it says of each target.
fn table() -> Vec<(String, Vec<(String, bool)>)> {
    let docs = include_str!("../../../docs/images.md");
    let rows = docs.lines().skip_while(|line| !line.starts_with("| base | engine |"));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let rows: Vec<Vec<String>> = rows.take_while(|line| line.starts_with('|')).map(cells).collect();
    let targets = &rows[0][1..];
    let row = |row: &Vec<String>| {
        let says = row[1..].iter().map(|cell| match cell.split(',').next().unwrap() {
            "yes" => true,
            "no" => false,
            other => panic!("{other} is neither yes nor no"),
        });
        (row[0].clone(), targets.iter().cloned().zip(says).collect())
    };
    rows[2..].iter().map(row).collect()
}

/// Puts an image that is nowhere else where the row of the table says, and returns its name.
fn base(row: &str, project: &Project, engine: &Engine) -> String {
    let id = unique("matrix");
    let image = TestImage::busybox(json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/sh"] }));
    let archive = project.path(&format!("{id}.tar"));
    image.file("unique", 0o644, id.as_bytes()).write(&format!("sbtest/{id}:1"), &archive);
    let archive = archive.to_str().unwrap().to_owned();
    let copied = |to: &str, name: String| {
        copy(&format!("docker-archive:{archive}"), to);
        name
    };
    match row {
        "engine" => {
            engine.cli(&["load", "-i", &archive]);
            format!("sbtest/{id}:1")
        }
        "docker://" => {
            let name = format!("docker://{}/sbtest/{id}:1", variable("SECRETBAKE_TEST_REGISTRY"));
            copied(&name, name.clone())
        }
        "docker-archive:" => format!("docker-archive:{id}.tar"),
        "oci:" => copied(&format!("oci:{}:1", project.path(&id).display()), format!("oci:{id}:1")),
        "oci-archive:" => {
            let file = format!("{id}.oci.tar");
            copied(&format!("oci-archive:{}:1", project.path(&file).display()), format!("oci-archive:{file}:1"))
        }
        "scratch" => "scratch".to_owned(),
        other => panic!("the table has a base that this test does not know: {other}"),
    }
}

fn target(column: &str) -> String {
    let id = unique("matrix-out");
    match column {
        "engine" => format!("sbtest/{id}:1"),
        "docker://" => format!("docker://{}/sbtest/{id}:1", variable("SECRETBAKE_TEST_REGISTRY")),
        "oci:" => format!("oci:{id}:1"),
        "docker-archive:" => format!("docker-archive:{id}.tar:sbtest/{id}:1"),
        "oci-archive:" => format!("oci-archive:{id}.tar:1"),
        other => panic!("the table has a target that this test does not know: {other}"),
    }
}

#[test]
fn every_cell_of_the_table_is_true() {
    for engine in Engine::all() {
        for (row, columns) in table() {
            // what has nothing to do with an engine is the same with each
            let is_of_engine = |column: &str| row == "engine" || column == "engine" || engine.name == "docker";
            for (column, yes) in columns.iter().filter(|(column, _)| is_of_engine(column)) {
                cell(&engine, &row, column, *yes);
            }
        }
    }
}

fn cell(engine: &Engine, row: &str, column: &str, yes: bool) {
    let project = Project::with_file("  token: canary\n").on(engine);
    let (base, target) = (base(row, &project, engine), target(column));
    let ran = project.bake(&format!(
        "version: 1\nimage: {{ base: '{base}', tags: ['{target}'] }}\nenv:\n  TOKEN: {{ secret: token }}\n"
    ));
    let what = format!("{row} to {column} with {}: {}", engine.name, ran.stderr);
    assert_eq!(ran.status, Some(if yes { 0 } else { 2 }), "{what}");
    if yes {
        assert_eq!(ran.brief(), "baked\n", "{what}");
        let inspected = project.run(&["inspect", &target]);
        assert!(inspected.stdout.contains("TOKEN"), "{what}{inspected:?}");
        if let Some((transport @ ("oci" | "oci-archive" | "docker-archive"), path)) = target.split_once(':') {
            let from = format!("{transport}:{}", project.path(path).display());
            skopeo(&["copy", "--quiet", &from, &format!("dir:{}", project.path("copied").display())]);
            let copied = std::fs::read(project.path("copied/manifest.json")).unwrap();
            if transport != "docker-archive" {
                assert_eq!(ran.stdout, format!("{target}@{}\n", digest(&copied)), "{what}");
            }
        }
        if column == "engine" && row != "scratch" {
            let printed = engine.run(&[&target, "sh", "-c", "cat /unique; printf %s \" $TOKEN\""]);
            let printed = String::from_utf8(printed).unwrap();
            assert!(printed.starts_with("matrix-") && printed.ends_with(" canary"), "{what}{printed}");
        }
    } else {
        assert!(ran.stderr.contains("hint: save it with `docker save -o base.tar "), "{what}");
        assert_eq!(project.run(&["check", "deploy.yaml"]).stderr, ran.stderr, "{what}");
    }
    for image in [base, target] {
        engine.try_cli(&["rmi", "-f", &image]);
    }
}
