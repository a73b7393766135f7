//! "Two pipelines baked the same tag": six runs side by side. (The engines' are in `engine::side_by_side`.)

use std::collections::BTreeSet;

use serde_json::Value;

use super::place::{Place, SECRETS, spawn};
use super::rounds;

fn six_bakes_of_one_tag_all_succeed(place: &Place) {
    for round in 0..rounds(8) {
        // the last two bake the same image
        let manifests: Vec<String> =
            [&SECRETS[..], &["s4"]].concat().into_iter().map(|secret| place.manifest(secret)).collect();
        let children: Vec<_> = manifests.iter().map(|manifest| spawn(place.command(manifest))).collect();
        let processes: Vec<u32> = children.iter().map(std::process::Child::id).collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}, round {round}: {stderr}", place.name);
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            for warning in report["images"][0]["diagnostics"].as_array().unwrap() {
                assert!(["replaced-image", "tag-moved"].contains(&warning["code"].as_str().unwrap()), "{warning}");
            }
        }
        let alone: BTreeSet<String> = BTreeSet::from([place.standing()]);
        assert_eq!(place.left(&processes, &alone), Vec::<String>::new(), "{}, round {round}", place.name);
    }
    // the tag stands for one of them, whichever came last
    let last = place.standing();
    let alone: BTreeSet<String> = SECRETS.iter().map(|secret| place.bake(secret)).collect();
    assert!(alone.contains(&last), "{}: {last}", place.name);
    assert_eq!(alone.len(), SECRETS.len());
}

#[test]
fn six_bakes_of_one_tag_in_a_registry_all_succeed() {
    six_bakes_of_one_tag_all_succeed(&Place::registry());
}

#[test]
fn six_bakes_of_one_tag_in_a_layout_all_succeed() {
    six_bakes_of_one_tag_all_succeed(&Place::layout());
}

#[test]
fn six_bakes_of_one_archive_all_succeed() {
    six_bakes_of_one_tag_all_succeed(&Place::docker_archive());
    six_bakes_of_one_tag_all_succeed(&Place::oci_archive());
}
