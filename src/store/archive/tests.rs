//! Owns the tests of archives: both kinds as base and as target, and what is left when it goes wrong.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::image::Image;
use crate::image::layer::Layer;
use crate::image::media;
use crate::image::platform::Platform;
use crate::image::tree::Entry;
use crate::secret::SecretBytes;
use crate::store::layout::LayoutStore;
use crate::store::scratch::ScratchStore;
use crate::store::testing::{self, BakeTest as _, TestBase, descriptor, gzip, put, put_beside, read};

fn code<T>(result: Result<T, StoreError>) -> &'static str {
    result.err().map_or("none", |error| error.0.code)
}

fn oci() -> ArchiveStore {
    ArchiveStore::default()
}

fn docker() -> ArchiveStore {
    ArchiveStore::default()
}

async fn scratch(secret: &str) -> Image {
    read(&ScratchStore, &ImageName::Scratch, None).await.unwrap().bake(secret)
}

/// Writes what `docker save` of an engine without a containerd image store writes.
fn docker_save(path: &Path, layers: &[(&str, &[u8])], tags: &str) -> Vec<u8> {
    let diff_ids: Vec<String> = layers
        .iter()
        .map(|(_, layer)| {
            let mut tar = Vec::new();
            match layer.starts_with(&[0x1f, 0x8b]) {
                true => io::Read::read_to_end(&mut flate2::read::GzDecoder::new(*layer), &mut tar).unwrap(),
                false => io::Read::read_to_end(&mut { *layer }, &mut tar).unwrap(),
            };
            format!("\"{}\"", Digest::of(&tar))
        })
        .collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","x":1.0,"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    let hex = Digest::of(config.as_bytes()).hex().to_owned();
    let mut builder = tar::Builder::new(fs::File::create(path).unwrap());
    let mut add = |path: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, path, content).unwrap();
    };
    let paths: Vec<String> = layers.iter().map(|(path, _)| format!("{path:?}")).collect();
    add(&format!("{hex}.json"), config.as_bytes());
    layers.iter().for_each(|(path, layer)| add(path, layer));
    let manifest = format!(r#"[{{"Config":"{hex}.json","RepoTags":{tags},"Layers":[{}]}}]"#, paths.join(","));
    add("manifest.json", manifest.as_bytes());
    builder.into_inner().unwrap();
    config.into_bytes()
}

#[tokio::test]
async fn an_oci_archive_is_a_layout_in_a_tar() {
    let directory = tempfile::tempdir().unwrap();
    let base = TestBase::new("amd64", &[("etc/passwd", "crew:x:1000:1000::/:\n")]);
    base.put(directory.path(), "1");
    let source = testing::name("oci", directory.path(), "1");
    let target = testing::name("oci-archive", &directory.path().join("x.tar"), "prod");
    let image = base.bake("secret");
    assert_eq!(oci().tag_state(&target).await.unwrap(), None);
    fs::remove_file(directory.path().join("blobs/sha256").join(Digest::of(&base.layer).hex())).unwrap();
    assert_eq!(code(put(&oci(), &image, &[&target], (&LayoutStore, &source)).await), "blob-missing");
    assert!(!directory.path().join("x.tar").exists());
    base.put_blobs(directory.path());
    put(&oci(), &image, &[&target], (&LayoutStore, &source)).await.unwrap();

    let found = read(&oci(), &target, None).await.unwrap();
    assert!(found.manifest == image.manifest && found.config.bytes() == image.config.expose());
    assert_eq!(oci().tag_state(&target).await.unwrap(), Some(image.manifest_digest()));
    let paths = PathQuery::for_needed(["/etc/passwd", "/.secretbake/env"]);
    let tree = oci().look_up(&target, &found, &paths).await.unwrap();
    assert!(tree.values().all(|entry| matches!(entry, Entry::File { .. })), "{tree:?}");
    let mode = fs::metadata(directory.path().join("x.tar")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // the same image is the same archive, and an archive is a base for a layout
    let again = testing::name("oci-archive", &directory.path().join("y.tar"), "prod");
    put(&oci(), &image, &[&again], (&oci(), &target)).await.unwrap();
    assert!(fs::read(directory.path().join("x.tar")).unwrap() == fs::read(directory.path().join("y.tar")).unwrap());
    let out = testing::name("oci", &directory.path().join("out"), "1");
    put(&LayoutStore, &image, &[&out], (&oci(), &target)).await.unwrap();
    assert!(read(&LayoutStore, &out, None).await.unwrap().manifest == image.manifest);
}

#[tokio::test]
async fn what_docker_saves_is_a_base() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("base.tar");
    let low = testing::tar(&[("etc/passwd", "crew:x:1000:1000::/:\n")]);
    let high = gzip(&testing::tar(&[("app/main", "program")]));
    let config = docker_save(&path, &[("aa/layer.tar", &low), ("bb/layer.tar", &high)], r#"["crew:1"]"#);
    for tag in ["", "crew:1", "docker.io/library/crew:1"] {
        let name = testing::name("docker-archive", &path, tag);
        let base = read(&docker(), &name, None).await.unwrap();
        assert!(base.config.bytes() == config);
        assert_eq!(base.digest, Some(Digest::of(&config)));
        let manifest = String::from_utf8(base.manifest.clone()).unwrap();
        assert!(manifest.contains(&descriptor(media::OCI_LAYER, &low)), "{manifest}");
        assert!(manifest.contains(&descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &high)), "{manifest}");
        let paths = PathQuery::for_needed(["/etc/passwd", "/app/main", "/x"]);
        let tree = docker().look_up(&name, &base, &paths).await.unwrap();
        assert_eq!(tree["/app/main"], Entry::File { content: b"program".to_vec() });
        assert_eq!(tree["/x"], Entry::Absent);

        let target = testing::name("docker-archive", &directory.path().join("out.tar"), "crew:1-prod");
        let image = base.bake("secret");
        put(&docker(), &image, &[&target], (&docker(), &name)).await.unwrap();
        assert_eq!(docker().tag_state(&target).await.unwrap(), Some(image.manifest_digest()));
        assert!(read(&docker(), &target, None).await.unwrap().config.bytes() == image.config.expose());
    }
    let arm = Platform::parse("linux/arm64").unwrap();
    let name = testing::name("docker-archive", &path, "");
    assert_eq!(code(read(&docker(), &name, Some(&arm)).await), "platform-not-found");
}

#[tokio::test]
async fn a_base_keeps_the_manifest_that_its_archive_has() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("base.tar");
    let mut base = TestBase::new("amd64", &[("etc/passwd", "crew:x:1000:1000::/:\n")]);
    base.manifest = String::from_utf8(base.manifest).unwrap().replacen('{', r#"{"annotations":{"k":"v"},"#, 1).into();
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let index = format!(r#"{{"manifests":[{}]}}"#, descriptor(media::OCI_MANIFEST, &base.manifest));
    let saved =
        format!(r#"[{{"Config":"{}","RepoTags":["crew:1"],"Layers":["{}"]}}]"#, blob(&base.config), blob(&base.layer));
    let write = |with: &[u8]| {
        let mut builder = tar::Builder::new(fs::File::create(&path).unwrap());
        for (name, content) in [
            (blob(&base.config), base.config.as_slice()),
            (blob(&base.layer), &base.layer),
            (blob(&base.manifest), with),
            ("index.json".to_owned(), index.as_bytes()),
            ("manifest.json".to_owned(), saved.as_bytes()),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, name, content).unwrap();
        }
        builder.into_inner().unwrap();
    };
    write(&base.manifest);
    let name = testing::name("docker-archive", &path, "crew:1");
    let found = read(&docker(), &name, None).await.unwrap();
    assert!(found.manifest == base.manifest && found.digest == Some(base.digest()));
    assert_eq!(docker().tag_state(&name).await.unwrap(), Some(base.digest()));
    let tree = docker().look_up(&name, &found, &PathQuery::for_needed(["/etc/passwd"])).await.unwrap();
    assert_eq!(tree["/etc/passwd"], Entry::File { content: b"crew:x:1000:1000::/:\n".to_vec() });
    // one that is not what its digest says is not believed
    write(b"{}");
    let found = read(&docker(), &name, None).await.unwrap();
    assert!(found.manifest != base.manifest && found.digest == Some(Digest::of(&base.config)));
}

#[tokio::test]
async fn a_compressed_layer_without_a_name_is_proved_by_the_config() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("base.tar");
    let layer = gzip(&testing::tar(&[("app/main", "program")]));
    let config = docker_save(&path, &[("aa/layer.tar", &layer)], "null");
    let name = testing::name("docker-archive", &path, "");
    assert_eq!(code(read(&docker(), &name, None).await), "none");
    let hex = Digest::of(&config).hex().to_owned();
    let config = String::from_utf8(config).unwrap();
    let saved = format!(r#"[{{"Config":"{hex}.json","Layers":["aa/layer.tar"]}}]"#);
    let mut builder = tar::Builder::new(fs::File::create(&path).unwrap());
    let other = gzip(&testing::tar(&[("app/main", "another program")]));
    for (name, content) in [
        (format!("{hex}.json"), config.as_bytes()),
        ("aa/layer.tar".to_owned(), &other),
        ("manifest.json".to_owned(), saved.as_bytes()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        builder.append_data(&mut header, name, content).unwrap();
    }
    builder.into_inner().unwrap();
    assert_eq!(code(read(&docker(), &name, None).await), "archive-malformed");
}

#[tokio::test]
async fn what_is_no_archive_is_not_quoted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("base.tar");
    fs::write(&path, format!("DB_PASSWORD=hunter2\n{}", "x".repeat(1000))).unwrap();
    for (store, transport) in [(docker(), "docker-archive"), (oci(), "oci-archive")] {
        let name = testing::name(transport, &path, "");
        let error = read(&store, &name, None).await.err().unwrap();
        assert_eq!(error.0.what, format!("`{name}` is not a complete tar archive"));
        assert!(error.0.causes.is_empty());
    }
}

#[tokio::test]
async fn each_mistake_has_an_error_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("base.tar");
    let base = |store: ArchiveStore, transport: &'static str, tag: &'static str| {
        let name = testing::name(transport, &path, tag);
        async move { code(read(&store, &name, None).await) }
    };
    assert_eq!(base(docker(), "docker-archive", "").await, "path-not-found");
    fs::create_dir(&path).unwrap();
    assert_eq!(base(docker(), "docker-archive", "").await, "wrong-file-type");
    fs::remove_dir(&path).unwrap();
    fs::write(&path, "no tar").unwrap();
    assert_eq!(base(docker(), "docker-archive", "").await, "not-an-archive");
    docker_save(&path, &[], "null");
    assert_eq!(base(docker(), "docker-archive", "").await, "none");
    assert_eq!(base(docker(), "docker-archive", "crew").await, "image-not-found");
    assert_eq!(base(oci(), "oci-archive", "").await, "not-an-archive");
    for (wrong, expected) in [
        (r#"[{"Config":"../../etc/passwd","Layers":[]}]"#, "blob-missing"),
        (r#"[{"Config":"manifest.json","Layers":[]}]"#, "archive-malformed"),
        (r#"[{},{}]"#, "archive-malformed"),
        ("[]", "image-not-found"),
        (r#"[{"Config":"a"},{"Config":"b"}]"#, "image-ambiguous"),
        ("{", "archive-malformed"),
    ] {
        fs::write(&path, testing::tar(&[("manifest.json", wrong)])).unwrap();
        assert_eq!(base(docker(), "docker-archive", "").await, expected, "{wrong}");
    }
}

#[tokio::test]
async fn a_truncated_or_altered_archive_never_panics() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("base.tar");
    docker_save(&path, &[("aa/layer.tar", &testing::tar(&[("a", "b")]))], "null");
    let name = testing::name("docker-archive", &path, "");
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(7) {
        fs::write(&path, &good[..at]).unwrap();
        let _ = read(&docker(), &name, None).await;
        let mut wrong = good.clone();
        wrong[at] = !wrong[at];
        fs::write(&path, &wrong).unwrap();
        if let Ok(base) = read(&docker(), &name, None).await {
            let _ = docker().look_up(&name, &base, &PathQuery::for_needed(["/a"])).await;
        }
    }
}

#[tokio::test]
async fn a_compressed_archive_and_a_pipe_are_read_once_and_asked_often() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain.tar");
    let config = docker_save(&plain, &[("aa/layer.tar", &testing::tar(&[("a", "b")]))], "null");
    let tar = fs::read(&plain).unwrap();
    let compressed = directory.path().join("base.tar.gz");
    fs::write(&compressed, gzip(&tar)).unwrap();
    let pipe = directory.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::OpenOptions::new().write(true).open(pipe).unwrap().write_all(&tar).unwrap()
    });
    for path in [compressed, pipe] {
        let store = docker();
        let name = testing::name("docker-archive", &path, "");
        for _ in 0..2 {
            let base = read(&store, &name, None).await.unwrap();
            assert!(base.config.bytes() == config);
            let tree = store.look_up(&name, &base, &PathQuery::for_needed(["/a"])).await.unwrap();
            assert_eq!(tree["/a"], Entry::File { content: b"b".to_vec() });
        }
    }
    writer.join().unwrap();
}

#[tokio::test]
async fn an_archive_goes_into_a_pipe() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::read(pipe).unwrap()
    });
    let image = scratch("secret").await;
    let target = testing::name("docker-archive", &pipe, "crew:1");
    assert_eq!(docker().tag_state(&target).await.unwrap(), None);
    put_beside(&docker(), &image, &[&target]).await.unwrap();
    let file = directory.path().join("x.tar");
    put_beside(&docker(), &image, &[&testing::name("docker-archive", &file, "crew:1")]).await.unwrap();
    assert!(reader.join().unwrap() == fs::read(file).unwrap());
}

#[tokio::test]
async fn an_archive_is_replaced_as_a_whole_and_only_if_it_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.tar");
    let name = |tag| testing::name("oci-archive", &path, tag);
    let (one, two) = (scratch("one").await, scratch("two").await);
    fs::write(&path, "").unwrap();
    put_beside(&oci(), &one, &[&name("a"), &name("b")]).await.unwrap();
    assert_eq!(oci().tag_state(&name("b")).await.unwrap(), Some(one.manifest_digest()));
    let written = put_beside(&oci(), &two, &[&name("a")]).await.unwrap();
    assert_eq!(written.warnings[0].code, "archive-replaced");
    assert_eq!(written.warnings[0].causes, ["an archive holds one image; it had b"]);
    assert_eq!(oci().tag_state(&name("b")).await.unwrap(), None);
    assert!(put_beside(&oci(), &one, &[&name("a")]).await.unwrap().warnings.is_empty());

    let before = fs::read(&path).unwrap();
    let docker_name = testing::name("docker-archive", &path, "crew:1");
    assert_eq!(code(put_beside(&docker(), &one, &[&docker_name]).await), "not-an-archive");
    assert!(fs::read(&path).unwrap() == before);
    fs::write(&path, "my notes").unwrap();
    assert_eq!(code(oci().tag_state(&name("a")).await), "not-an-archive");
    assert_eq!(code(put_beside(&oci(), &one, &[&name("a")]).await), "not-an-archive");
    assert_eq!(fs::read_to_string(&path).unwrap(), "my notes");
    assert_eq!(testing::files(directory.path()), ["x.tar"]);
    let digest = format!("crew@sha256:{}", "a".repeat(64));
    let untagged = testing::name("docker-archive", &directory.path().join("y.tar"), &digest);
    assert_eq!(code(put_beside(&docker(), &one, &[&untagged]).await), "no-tag");
}

#[tokio::test]
async fn a_layer_that_is_damaged_leaves_the_old_archive() {
    let directory = tempfile::tempdir().unwrap();
    let base = TestBase::new("amd64", &[("a", "b")]);
    base.put(directory.path(), "1");
    let source = testing::name("oci", directory.path(), "1");
    let target = testing::name("oci-archive", &directory.path().join("x.tar"), "a");
    let image = base.bake("secret");
    put(&oci(), &image, &[&target], (&LayoutStore, &source)).await.unwrap();
    let before = (testing::files(directory.path()), fs::read(directory.path().join("x.tar")).unwrap());
    let mut damaged = base.layer.clone();
    damaged[20] ^= 1;
    fs::write(directory.path().join("blobs/sha256").join(Digest::of(&base.layer).hex()), damaged).unwrap();
    let written = put(&oci(), &base.bake("another secret"), &[&target], (&LayoutStore, &source)).await;
    assert_eq!(code(written), "blob-damaged");
    assert!((testing::files(directory.path()), fs::read(directory.path().join("x.tar")).unwrap()) == before);
}

#[tokio::test]
async fn an_image_that_is_not_what_its_manifest_says_is_not_written() {
    let directory = tempfile::tempdir().unwrap();
    let target = testing::name("oci-archive", &directory.path().join("x.tar"), "a");
    let mut image = scratch("secret").await;
    image.layers[0] = Layer::new(&SecretBytes::new(vec![0; 1024]), "test");
    assert_eq!(code(put_beside(&oci(), &image, &[&target]).await), "internal");
    assert_eq!(testing::files(directory.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_compressed_archive_that_is_none_is_told_without_its_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.tar");
    for bytes in [&b"\xfd7zXZ\0\0\x04"[..], b"BZh91AY&SY"] {
        fs::write(&path, bytes).unwrap();
        let name = testing::name("oci-archive", &path, "1");
        let error = read(&oci(), &name, None).await.err().unwrap().0.to_string();
        assert_eq!(
            error,
            format!(
                "error: `{name}` is not a complete tar archive\n  \
                 hint: save the image again with `docker save -o FILE NAME` or `skopeo copy`"
            )
        );
    }
}
