//! Owns the tests of layouts in directories: reading, writing, and what is left when it goes wrong.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::*;
use crate::image::ImageIndex;
use crate::image::media;
use crate::image::platform::Platform;
use crate::image::tree::Entry;
use crate::store::scratch::ScratchStore;
use crate::store::testing::{
    self, BakeTest as _, TestBase, descriptor, put, put_beside, put_blob, put_index, read, tagged,
};

fn name(directory: &Path, tag: &str) -> ImageName {
    testing::name("oci", directory, tag)
}

fn base() -> TestBase {
    TestBase::new("amd64", &[("etc/passwd", "crew:x:1000:1000::/:\n")])
}

/// Returns where a layout has a blob.
fn blob(directory: &Path, digest: &Digest) -> PathBuf {
    directory.join("blobs/sha256").join(digest.hex())
}

fn code<T>(result: Result<T, StoreError>) -> &'static str {
    result.err().map_or("none", |error| error.0.code)
}

/// A layout that has the base as `1`.
fn layout() -> (tempfile::TempDir, TestBase) {
    let directory = tempfile::tempdir().unwrap();
    let base = base();
    base.put(directory.path(), "1");
    (directory, base)
}

#[tokio::test]
async fn a_base_is_read_byte_by_byte() {
    let (directory, base) = layout();
    for tag in ["1", ""] {
        let found = read(&LayoutStore, &name(directory.path(), tag), None).await.unwrap();
        assert_eq!(found.digest, Some(base.digest()));
        assert!(found.manifest == base.manifest && found.config.bytes() == base.config);
    }
    assert_eq!(LayoutStore.tag_state(&name(directory.path(), "1")).await.unwrap(), Some(base.digest()));
    assert_eq!(LayoutStore.tag_state(&name(directory.path(), "2")).await.unwrap(), None);
    assert_eq!(LayoutStore.tag_state(&name(&directory.path().join("none"), "2")).await.unwrap(), None);
}

#[tokio::test]
async fn paths_are_looked_up_in_compressed_layers() {
    let (directory, base) = layout();
    let paths = PathQuery::for_needed(["/etc/passwd", "/x"]);
    let tree = LayoutStore.look_up(&name(directory.path(), "1"), &base.as_base(), &paths).await.unwrap();
    assert_eq!(tree["/etc/passwd"], Entry::File { content: b"crew:x:1000:1000::/:\n".to_vec() });
    assert_eq!(tree["/x"], Entry::Absent);
}

#[tokio::test]
async fn a_platform_is_chosen_from_nested_indexes() {
    let directory = tempfile::tempdir().unwrap();
    let (amd, arm) = (TestBase::new("amd64", &[]), TestBase::new("arm64", &[]));
    let mut entries = Vec::new();
    for (base, platform) in [(&amd, "amd64"), (&arm, "arm64")] {
        base.put_blobs(directory.path());
        let descriptor = descriptor(media::OCI_MANIFEST, &base.manifest);
        let platform = format!(r#","platform":{{"os":"linux","architecture":"{platform}"}}}}"#);
        entries.push(format!("{}{platform}", descriptor.strip_suffix('}').unwrap()));
    }
    let attestation = descriptor(media::OCI_MANIFEST, b"not there");
    entries.push(format!(
        r#"{},"platform":{{"os":"unknown","architecture":"unknown"}}}}"#,
        attestation.strip_suffix('}').unwrap()
    ));
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, entries.join(","));
    put_blob(directory.path(), index.as_bytes());
    put_index(directory.path(), &[tagged(descriptor(media::OCI_INDEX, index.as_bytes()), "1")]);

    let name = name(directory.path(), "1");
    let arm64 = Platform::parse("linux/arm64").unwrap();
    assert_eq!(read(&LayoutStore, &name, Some(&arm64)).await.unwrap().digest, Some(arm.digest()));
    let s390x = Platform::parse("linux/s390x").unwrap();
    let error = read(&LayoutStore, &name, Some(&s390x)).await.err().unwrap();
    assert_eq!(error.0.code, "platform-not-found");
    assert_eq!(error.0.hints, ["it has: linux/amd64, linux/arm64"]);
}

#[tokio::test]
async fn an_index_whose_indexes_name_each_other_is_read_at_once() {
    let directory = tempfile::tempdir().unwrap();
    // no blob can hold its own digest, but many can hold each other's often: 4 levels of 100 are 100 million
    let mut inner = base();
    let digest = inner.digest();
    inner.put_blobs(directory.path());
    let mut entry = descriptor(media::OCI_MANIFEST, &inner.manifest);
    for _ in 0..5 {
        inner.manifest = format!(r#"{{"manifests":[{}]}}"#, vec![entry; 100].join(",")).into_bytes();
        put_blob(directory.path(), &inner.manifest);
        entry = descriptor(media::OCI_INDEX, &inner.manifest);
    }
    put_index(directory.path(), &[entry]);
    let begun = std::time::Instant::now();
    assert_eq!(read(&LayoutStore, &name(directory.path(), ""), None).await.unwrap().digest, Some(digest));
    assert!(begun.elapsed().as_secs() < 2, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_layout_that_another_user_prepared_is_not_written_to() {
    let prepared = || {
        let (directory, _) = layout();
        let victim = directory.path().join("victim");
        fs::create_dir(&victim).unwrap();
        fs::write(victim.join(Digest::of(b"x").hex()), "x").unwrap();
        fs::write(directory.path().join(".secretbake-journal"), format!("{}\n", Digest::of(b"x"))).unwrap();
        (directory, victim)
    };
    let write = async |directory: &Path| {
        let image = read(&ScratchStore, &ImageName::Scratch, None).await.unwrap().bake("secret");
        put_beside(&LayoutStore, &image, &[&name(directory, "2")]).await.unwrap_err().0.to_string()
    };
    let said = |path: &Path, directory: &Path, why: &str| {
        format!(
            "error: cannot write to `oci:{}:2`: {} {why}\n  \
             cause: anyone who can change the layout could make this run change or delete files elsewhere\n  \
             hint: write to a new directory, or restrict the layout to your user with `chown -R` and `chmod -R go-w`",
            directory.display(),
            path.display()
        )
    };
    let (directory, victim) = prepared();
    let blobs = directory.path().join("blobs/sha256");
    fs::rename(&blobs, directory.path().join("blobs/real")).unwrap();
    symlink(&victim, &blobs).unwrap();
    let why = "has a `blobs` or `blobs/sha256` that is not a directory";
    let said_of_link = format!("error: `oci:{}:2` is not an OCI layout: it {why}\n", directory.path().display());
    let error = write(directory.path()).await;
    assert!(error.starts_with(&said_of_link), "{error}");
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 1);

    let (directory, _) = prepared();
    let blobs = directory.path().join("blobs");
    fs::set_permissions(&blobs, fs::Permissions::from_mode(0o777)).unwrap();
    assert_eq!(write(directory.path()).await, said(&blobs, directory.path(), "can be changed by other users"));

    if rustix::process::geteuid().is_root() {
        let (directory, _) = prepared();
        let journal = directory.path().join(".secretbake-journal");
        std::os::unix::fs::chown(&journal, Some(12345), None).unwrap();
        assert_eq!(write(directory.path()).await, said(&journal, directory.path(), "belongs to another user"));
    }
}

#[tokio::test]
async fn a_layout_is_not_read_through_a_link_to_its_index_or_its_blobs() {
    for (path, why) in [
        ("index.json", "has an index.json that is a link or not a file of at most 16 MiB"),
        ("blobs", "has a `blobs` or `blobs/sha256` that is not a directory"),
        ("blobs/sha256", "has a `blobs` or `blobs/sha256` that is not a directory"),
    ] {
        let (directory, _) = layout();
        let elsewhere = tempfile::tempdir().unwrap();
        let real = elsewhere.path().join("real");
        fs::rename(directory.path().join(path), &real).unwrap();
        symlink(&real, directory.path().join(path)).unwrap();
        let at = name(directory.path(), "1");
        let error = read(&LayoutStore, &at, None).await.err().unwrap().0;
        assert_eq!(error.what, format!("`{at}` is not an OCI layout: it {why}"));
    }
    // build tools make the blobs themselves links
    let (directory, base) = layout();
    let manifest = blob(directory.path(), &Digest::of(&base.manifest));
    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(&manifest, elsewhere.path().join("blob")).unwrap();
    symlink(elsewhere.path().join("blob"), &manifest).unwrap();
    read(&LayoutStore, &name(directory.path(), "1"), None).await.unwrap();
}

/// A source of layers that puts a link in the place of something of the target while it is written.
struct Swapping<'a> {
    what: &'a Path,
    victim: &'a Path,
}

impl LayerSource for Swapping<'_> {
    async fn layer(&self, name: &ImageName, digest: &Digest) -> Result<Blob, StoreError> {
        fs::rename(self.what, self.what.with_extension("moved")).unwrap();
        symlink(self.victim, self.what).unwrap();
        LayoutStore.layer(name, digest).await
    }
}

#[tokio::test]
async fn a_link_that_is_put_into_a_layout_while_it_is_written_leads_nothing_out_of_it() {
    for (what, is_written) in [("blobs/sha256", true), ("blobs", true), (".", true), ("index.json", false)] {
        let (directory, base) = layout();
        let folder = tempfile::tempdir().unwrap();
        let (target, victim) = (folder.path().join("target"), folder.path().join("victim"));
        let secret = base.bake("old secret");
        put(&LayoutStore, &secret, &[&name(&target, "1")], (&LayoutStore, &name(directory.path(), "1"))).await.unwrap();
        let layer = blob(&target, &Digest::of(&base.layer));
        fs::remove_file(layer).unwrap();
        // what a write through the link would remove or replace
        let is_file = what == "index.json";
        let old: Vec<String> = testing::files(&target).into_iter().filter(|_| !is_file).collect();
        for file in &old {
            fs::create_dir_all(victim.join(file).parent().unwrap()).unwrap();
            fs::write(victim.join(file), "mine").unwrap();
        }
        if is_file {
            fs::write(&victim, "mine").unwrap();
        }
        let at = if what == "." { target.clone() } else { target.join(what) };
        let linked = if is_file || what == "." { victim.clone() } else { victim.join(what) };
        let swapping = Swapping { what: &at, victim: &linked };
        let image = base.bake("new secret");
        let written =
            put(&LayoutStore, &image, &[&name(&target, "1")], (&swapping, &name(directory.path(), "1"))).await;
        assert_eq!(written.is_ok(), is_written, "{what}");
        assert!(fs::symlink_metadata(&at).unwrap().is_symlink(), "{what}");
        match is_file {
            true => assert_eq!(fs::read_to_string(&victim).unwrap(), "mine"),
            false => {
                assert_eq!(testing::files(&victim), old, "{what}");
                for file in &old {
                    assert_eq!(fs::read_to_string(victim.join(file)).unwrap(), "mine", "{what}: {file}");
                }
            }
        }
    }
}

#[tokio::test]
async fn each_mistake_has_an_error_of_its_own() {
    let (directory, base) = layout();
    let at = |tag| name(directory.path(), tag);
    let none = directory.path().join("none");
    assert_eq!(code(read(&LayoutStore, &name(&none, "1"), None).await), "path-not-found");
    fs::create_dir(&none).unwrap();
    assert_eq!(code(read(&LayoutStore, &name(&none, "1"), None).await), "not-a-layout");
    assert_eq!(code(read(&LayoutStore, &name(&directory.path().join("index.json"), "1"), None).await), "not-a-layout");
    assert_eq!(code(read(&LayoutStore, &at("2"), None).await), "image-not-found");

    let blob = |bytes: &[u8]| directory.path().join("blobs/sha256").join(Digest::of(bytes).hex());
    fs::write(blob(&base.layer), "short").unwrap();
    assert_eq!(code(read(&LayoutStore, &at("1"), None).await), "blob-damaged");
    assert_eq!(LayoutStore.tag_state(&at("1")).await.unwrap(), None);
    fs::remove_file(blob(&base.layer)).unwrap();
    let error = read(&LayoutStore, &at("1"), None).await.err().unwrap();
    assert!(error.0.code == "blob-missing" && error.0.what.contains(Digest::of(&base.layer).as_str()));
    fs::create_dir(blob(&base.layer)).unwrap();
    assert_eq!(code(read(&LayoutStore, &at("1"), None).await), "blob-damaged");

    let mut config = base.config.clone();
    config[0] = b'[';
    fs::write(blob(&base.config), config).unwrap();
    assert_eq!(code(read(&LayoutStore, &at("1"), None).await), "blob-damaged");
    let huge = descriptor(media::OCI_MANIFEST, &base.manifest).replace(&base.manifest.len().to_string(), "99999999999");
    put_index(directory.path(), std::slice::from_ref(&huge));
    assert_eq!(code(read(&LayoutStore, &at(""), None).await), "layout-malformed");
    put_index(directory.path(), &[huge.clone(), huge]);
    assert_eq!(code(read(&LayoutStore, &at(""), None).await), "image-ambiguous");
    put_index(directory.path(), &[r#"{"digest":"sha256:../../../etc/passwd","size":1}"#.into()]);
    assert_eq!(code(read(&LayoutStore, &at(""), None).await), "layout-malformed");
}

#[tokio::test]
async fn a_truncated_or_altered_index_never_panics() {
    let (directory, _) = layout();
    let path = directory.path().join("index.json");
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        fs::write(&path, &good[..at]).unwrap();
        assert_eq!(code(read(&LayoutStore, &name(directory.path(), "1"), None).await), "layout-malformed");
        let mut wrong = good.clone();
        wrong[at] = wrong[at].wrapping_add(1);
        fs::write(&path, &wrong).unwrap();
        let _ = read(&LayoutStore, &name(directory.path(), "1"), None).await;
    }
}

#[tokio::test]
async fn an_image_is_written_beside_its_base() {
    let (directory, base) = layout();
    let image = base.bake("secret");
    let (prod, latest) = (name(directory.path(), "prod"), name(directory.path(), "latest"));
    assert_eq!(
        put_beside(&LayoutStore, &image, &[&prod, &latest]).await.unwrap(),
        Put { changed: true, ..Put::unchanged(image.manifest_digest()) }
    );
    for name in [&prod, &latest] {
        assert_eq!(LayoutStore.tag_state(name).await.unwrap(), Some(image.manifest_digest()));
        assert!(read(&LayoutStore, name, None).await.unwrap().manifest == image.manifest);
    }
    assert_eq!(LayoutStore.tag_state(&name(directory.path(), "1")).await.unwrap(), Some(base.digest()));
    let config = blob(directory.path(), &image.config_digest());
    assert_eq!(fs::metadata(config).unwrap().permissions().mode() & 0o777, 0o600);
    let all = testing::files(directory.path());
    assert_eq!(all.len(), 8, "{all:?}");
    // again, and nothing changes
    put_beside(&LayoutStore, &image, &[&prod, &latest]).await.unwrap();
    assert_eq!(testing::files(directory.path()), all);
}

#[tokio::test]
async fn a_new_layout_gets_the_bases_layers_and_is_its_owners() {
    let (directory, base) = layout();
    let other = directory.path().join("a/b");
    let target = name(&other, "prod");
    let source = name(directory.path(), "1");
    let image = base.bake("secret");
    fs::remove_file(directory.path().join("blobs/sha256").join(Digest::of(&base.layer).hex())).unwrap();
    assert_eq!(code(put(&LayoutStore, &image, &[&target], (&LayoutStore, &source)).await), "blob-missing");
    assert!(!directory.path().join("a").exists());
    base.put_blobs(directory.path());
    put(&LayoutStore, &image, &[&target], (&LayoutStore, &source)).await.unwrap();
    assert!(read(&LayoutStore, &target, None).await.unwrap().config.bytes() == image.config.expose());
    assert_eq!(fs::metadata(&other).unwrap().permissions().mode() & 0o777, 0o700);
    let layer = blob(&other, &Digest::of(&base.layer));
    assert_eq!(fs::metadata(layer).unwrap().nlink(), 2);
}

#[tokio::test]
async fn a_layout_without_a_tag_holds_one_image() {
    let directory = tempfile::tempdir().unwrap();
    let target = name(&directory.path().join("out"), "");
    for secret in ["one", "two"] {
        let image = read(&ScratchStore, &ImageName::Scratch, None).await.unwrap().bake(secret);
        put_beside(&LayoutStore, &image, &[&target]).await.unwrap();
        assert_eq!(LayoutStore.tag_state(&target).await.unwrap(), Some(image.manifest_digest()));
    }
    let index = fs::read_to_string(directory.path().join("out/index.json")).unwrap();
    assert!(!index.contains("annotations"));
    assert_eq!(testing::files(directory.path()).len(), 5);
}

#[tokio::test]
async fn the_secrets_of_a_replaced_image_are_removed_unless_something_needs_them() {
    let (directory, base) = layout();
    let before = testing::files(directory.path());
    let (first, second) = (base.bake("first"), base.bake("second"));
    let (prod, keep) = (name(directory.path(), "prod"), name(directory.path(), "keep"));
    put_beside(&LayoutStore, &first, &[&prod, &keep]).await.unwrap();
    put_beside(&LayoutStore, &second, &[&prod]).await.unwrap();
    assert_eq!(testing::files(directory.path()).len(), before.len() + 6);
    put_beside(&LayoutStore, &second, &[&keep]).await.unwrap();
    assert_eq!(testing::files(directory.path()).len(), before.len() + 3);
    assert!(
        read(&LayoutStore, &keep, None).await.is_ok()
            && read(&LayoutStore, &name(directory.path(), "1"), None).await.is_ok()
    );

    // an image that cannot be read may need anything
    fs::write(blob(directory.path(), &base.digest()), "damaged").unwrap();
    let written = put_beside(&LayoutStore, &first, &[&prod, &keep]).await.unwrap();
    assert_eq!(written.warnings[0].code, "old-secrets-remain");
    // and an image that was not baked is nobody's to remove
    let foreign = name(directory.path(), "1");
    assert!(put_beside(&LayoutStore, &first, &[&foreign]).await.unwrap().warnings.is_empty());
    assert!(blob(directory.path(), &base.digest()).exists());
}

#[tokio::test]
async fn a_failure_in_the_second_layout_undoes_the_first() {
    let (directory, base) = layout();
    let other = tempfile::tempdir().unwrap();
    base.put_blobs(other.path());
    let without = descriptor(media::OCI_MANIFEST, &base.manifest);
    put_index(other.path(), &[without.clone(), without]);
    let before = (testing::files(directory.path()), fs::read(directory.path().join("index.json")).unwrap());
    let names = [name(directory.path(), "1"), name(other.path(), "")];
    // whichever is written first
    let image = base.bake("secret");
    assert_eq!(code(put_beside(&LayoutStore, &image, &[&names[0], &names[1]]).await), "image-ambiguous");
    assert_eq!((testing::files(directory.path()), fs::read(directory.path().join("index.json")).unwrap()), before);
    assert_eq!(testing::files(other.path()).len(), 5);
}

#[tokio::test]
async fn a_failure_leaves_nothing_and_the_next_run_cleans_up_after_a_killed_one() {
    let (directory, mut base) = layout();
    let image = base.bake("secret");
    let before = testing::files(directory.path());
    // the base's layer is damaged where it is
    base.layer[5] ^= 1;
    let source = tempfile::tempdir().unwrap();
    let path = source.path().join("blobs/sha256").join(before[1].rsplit('/').next().unwrap());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    put_index(source.path(), &[]);
    let target = tempfile::tempdir().unwrap();
    let from = (&LayoutStore, &name(source.path(), "1"));
    let error = put(&LayoutStore, &image, &[&name(target.path(), "1")], from).await;
    assert_eq!(code(error), "blob-missing");
    assert_eq!(testing::files(target.path()), Vec::<String>::new());
    assert!(!target.path().join("blobs").exists());

    fs::write(directory.path().join("blobs/sha256/.secretbake-killed.tmp"), "old secret").unwrap();
    put_beside(&LayoutStore, &image, &[&name(directory.path(), "2")]).await.unwrap();
    assert_eq!(testing::files(directory.path()).len(), before.len() + 3);
}

#[tokio::test]
async fn a_directory_of_other_files_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("notes.txt"), "mine").unwrap();
    let image = read(&ScratchStore, &ImageName::Scratch, None).await.unwrap().bake("secret");
    assert_eq!(code(put_beside(&LayoutStore, &image, &[&name(directory.path(), "1")]).await), "not-a-layout");
    let file = name(&directory.path().join("notes.txt"), "1");
    assert_eq!(code(put_beside(&LayoutStore, &image, &[&file]).await), "not-a-layout");
    assert_eq!(testing::files(directory.path()), ["notes.txt"]);
}

#[tokio::test]
async fn bakes_side_by_side_lose_no_tag() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let bakes = (0..8).map(|number| {
        let target = name(&out, &format!("t{number}"));
        async move {
            let image = read(&ScratchStore, &ImageName::Scratch, None).await.unwrap().bake(&format!("secret {number}"));
            put_beside(&LayoutStore, &image, &[&target]).await.unwrap();
        }
    });
    futures_util::future::join_all(bakes).await;
    for number in 0..8 {
        assert!(read(&LayoutStore, &name(&out, &format!("t{number}")), None).await.is_ok());
    }
}

#[tokio::test]
async fn a_write_that_is_dropped_leaves_nothing() {
    let (directory, base) = layout();
    let out = directory.path().join("out");
    let image = base.bake("secret");
    // the layout is locked by another run, and the user interrupts the wait
    fs::create_dir(&out).unwrap();
    let lock = lock::acquire(&out).await.unwrap();
    let target = name(&out, "1");
    let targets = [&target];
    let write = put_beside(&LayoutStore, &image, &targets);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(50), write).await.is_err());
    drop(lock);
    assert_eq!(testing::files(&out), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_of_dockers_types_lies_behind_an_index_of_one_and_keeps_its_digest() {
    let directory = tempfile::tempdir().unwrap();
    let mut base = base();
    base.manifest =
        String::from_utf8(base.manifest).unwrap().replace(media::OCI_MANIFEST, media::DOCKER_MANIFEST).into();
    base.put(directory.path(), "1");
    let source = name(directory.path(), "1");
    // a tag that leads to Docker's type itself is not as it would be written
    let entry = tagged(descriptor(media::DOCKER_MANIFEST, &base.manifest), "1");
    put_index(directory.path(), &[entry]);
    assert_eq!(LayoutStore.tag_state(&source).await.unwrap(), None);

    let out = directory.path().join("out");
    let target = name(&out, "prod");
    for secret in ["one", "two"] {
        let image = base.bake(secret);
        put(&LayoutStore, &image, &[&target], (&LayoutStore, &source)).await.unwrap();
        assert_eq!(LayoutStore.tag_state(&target).await.unwrap(), Some(image.manifest_digest()));
        assert!(read(&LayoutStore, &target, None).await.unwrap().manifest == image.manifest);
        let index = fs::read_to_string(out.join("index.json")).unwrap();
        assert!(index.contains(media::OCI_INDEX) && !index.contains(media::DOCKER_MANIFEST), "{index}");
    }
    // what was replaced is gone: index.json, oci-layout, two layers, config, manifest and the index of one
    assert_eq!(testing::files(&out).len(), 7, "{:?}", testing::files(&out));
}

#[tokio::test]
async fn an_index_of_dockers_type_is_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let base = base();
    base.put(directory.path(), "1");
    let image = base.bake("secret");
    let index = ImageIndex {
        document: format!(r#"{{"manifests":[{}]}}"#, descriptor(media::DOCKER_MANIFEST, &image.manifest)).into(),
        media_type: media::DOCKER_LIST.to_owned(),
        images: vec![image],
    };
    let (source, target) = (name(directory.path(), "1"), name(directory.path(), "2"));
    let written = LayoutStore
        .put(
            &NewImage::Index(index.clone()),
            &[&target],
            BaseSource { store: &LayoutStore, name: &source, progress: None },
        )
        .await
        .unwrap();
    assert_eq!(written.warnings.iter().map(|warning| warning.code).collect::<Vec<_>>(), ["docker-types-in-layout"]);
}
