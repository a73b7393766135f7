//! What a container engine answers: the description of an image, the progress of a load or a push, tars and refusals.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use secretbake::image::config::Config;
use secretbake::image::digest::Digest;
use secretbake::image::name::Repository;
use secretbake::image::platform::Platform;
use secretbake::image::tree::Entry;
use secretbake::runtime::progress::{Counted, Progress, Watcher};
use secretbake::store::engine::Endpoint;
use secretbake::store::engine::base::choose_manifest;
use secretbake::store::engine::error::EngineError;
use secretbake::store::engine::export::{find_config, find_directories};
use secretbake::store::engine::inspect::InspectedImage;
use secretbake::store::engine::load::remark;
use secretbake::store::engine::look_up::parse_first_member;
use secretbake::store::engine::push::{PushMeter, digest, push_error};
use secretbake::store::engine::rebuild::{HistoryResponseItem, history_entries, rebuild_documents};
use secretbake::store::engine::stream::ProgressLine;
use secretbake::store::oci::document::Document;

use super::texts::printable;

/// Takes any input.
type Target = fn(&[u8]);

/// The targets of this file, by name.
pub const TARGETS: &[(&str, Target)] =
    &[("engine-image", image), ("engine-progress", progress), ("engine-refusal", refusal), ("engine-tar", tar)];

static ENDPOINT: LazyLock<Endpoint> = LazyLock::new(|| Endpoint::Unix(PathBuf::from("/run/docker.sock")));

/// The description of an image, and its history after a NUL: the config and the manifest that are made of it say the same.
pub fn image(input: &[u8]) {
    let (inspect, history) = input.split_at(input.iter().position(|byte| *byte == 0).unwrap_or(input.len()));
    let Ok(seen) = InspectedImage::parse(inspect) else { return };
    assert_eq!(seen.tag_state().is_baked, seen.is_baked());
    let arm = Platform::parse("linux/arm64");
    for wanted in [None, arm.as_ref()] {
        if let Some(Err(error)) = seen.target.as_ref().map(|target| choose_manifest("crew:1", &seen, target, wanted)) {
            printable(&[*error.0]);
        }
    }
    let lines = serde_json::from_slice::<Vec<HistoryResponseItem>>(history.get(1..).unwrap_or_default()).ok();
    let matched = lines.and_then(|lines| history_entries(lines, seen.layers.len()));
    let filled = matched.as_ref().map(|steps| steps.iter().filter(|step| !step.empty_layer).count());
    assert!(filled.is_none_or(|filled| filled == seen.layers.len()), "each layer has one step");
    let (manifest, config) = rebuild_documents(&seen, seen.history.clone().or(matched));
    let Ok(Document::Manifest(manifest)) = Document::read(&manifest, "") else { panic!("it is no manifest") };
    assert_eq!(manifest.config.digest, seen.id);
    assert!(manifest.layers.iter().map(|layer| &layer.digest).eq(&seen.layers));
    let config = Config::parse(config).expect("what is made is a config");
    assert_eq!(config.diff_ids().as_ref(), Ok(&seen.layers));
}

/// The lines of a response to a load or a push: what is done is never more than what was announced.
pub fn progress(input: &[u8]) {
    static TAG: LazyLock<Repository> =
        LazyLock::new(|| Repository::parse("registry.example.com/crew:1").expect("a name"));
    #[derive(Default)]
    struct Sums(Mutex<(u128, u128)>);
    impl Watcher for Sums {
        fn expect(&self, _: Counted, more: u64) {
            self.0.lock().expect("no target panics with it").1 += u128::from(more);
        }
        fn done(&self, _: Counted, more: u64) {
            self.0.lock().expect("no target panics with it").0 += u128::from(more);
        }
    }
    let sums = Arc::new(Sums::default());
    let progress = Progress::to(sums.clone());
    let mut meter = PushMeter::new(&progress);
    for line in input.split(|byte| *byte == b'\n') {
        match remark(line) {
            Ok(remark) => assert!(!remark.is_some_and(|remark| remark.contains(char::is_control))),
            Err(error) => printable(&[error.diagnose(&ENDPOINT, "cannot load the image")]),
        }
        match ProgressLine::read(line) {
            Ok(Some(line)) => {
                meter.take(&line);
                let (done, all) = *sums.0.lock().expect("no target panics with it");
                assert!(done <= all, "{done} of {all}");
                let _: Option<Digest> = digest(line, "1");
            }
            Ok(None) => {}
            Err(EngineError::Status { message, .. }) => {
                printable(&[push_error(&TAG, &message, false), push_error(&TAG, &message, true)]);
            }
            Err(_) => panic!("a line is an error of the engine"),
        }
    }
}

/// The body of a refusal.
pub fn refusal(input: &[u8]) {
    for code in [400, 404, 500] {
        let diagnostic = EngineError::status(code, input).diagnose(&ENDPOINT, "cannot read the image crew:1");
        assert!(!diagnostic.hints.is_empty());
        printable(&[diagnostic]);
    }
}

/// The tars in which an engine gives an image, a container's files, or one file.
pub fn tar(input: &[u8]) {
    if let Ok(config) = find_config(input, "config.json") {
        assert!(config.len() <= input.len());
    }
    let wanted = BTreeSet::from(["/etc", "/app/tls"].map(str::to_owned));
    if let Ok(tree) = find_directories(input, wanted.clone()) {
        assert!(tree.keys().eq(&wanted));
        assert!(tree.values().all(|entry| matches!(entry, Entry::Absent | Entry::Directory { .. })));
    }
    // an answer is parsed as soon as it is enough
    for end in (0..input.len()).step_by(512) {
        if let Some(first) = parse_first_member(&input[..end]) {
            let whole = parse_first_member(input).expect("more bytes change nothing");
            assert_eq!((whole.content, whole.owned, whole.modified), (first.content, first.owned, first.modified));
            break;
        }
    }
}
