//! "What is on my screen, and what is in the pipe?"

use crate::support::project::Project;
use crate::support::terminal;

#[test]
fn a_standard_output_that_takes_nothing_hides_no_problem() {
    let project = Project::with_file("  a: canary\n");
    project
        .write("good.yaml", "version: 1\nimage: { base: scratch, tags: ['oci:good:1'] }\nenv: { A: { secret: a } }\n");
    project.write(
        "bad.yaml",
        "version: 1\nimage: { base: scratch, tags: ['oci:bad:1'] }\nenv: { A: { secret: absent } }\n",
    );
    for format in ["text", "json"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = project.command(&["bake", "good.yaml", "bad.yaml", "--format", format]);
        let output = command.stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("bad.yaml:3:21: env.A: secret not found"), "{said}");
        let last = "error: cannot write to standard output: No space left on device (os error 28)\n  hint: the messages above \
                    are right all the same: images that are baked are there\n";
        assert!(said.ends_with(last), "{said}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn an_image_is_not_written_onto_a_terminal() {
    let project = Project::with_file("  a: canary\n");
    let manifest = "version: 1\nimage: { base: scratch, tags: ['docker-archive:-:a:1'] }\nenv: { A: { secret: a } }\n";
    project.write("deploy.yaml", manifest);
    let ran = terminal::run_on(project.command(&["bake", "deploy.yaml"]), true);
    let expected = "error: `docker-archive:-:a:1` is standard output, and that is a terminal\n  \
                    hint: redirect standard output, or name a file instead of `-`\n";
    assert_eq!((ran.status, ran.stderr.as_str(), ran.stdout.as_str()), (Some(2), expected, ""));
}
