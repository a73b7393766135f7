//! Looking up paths in a base's file tree.

use secretbake::image::layer::Ownership;
use secretbake::image::tree::Entry;
use secretbake::image::tree::PathQuery;
use secretbake::store::ImageStore as _;

use super::{image, read};
use crate::support::engine::Engine;
use crate::support::oci_base::{directory, file, import, link};

in_each_engine!(paths_are_looked_up_without_following_links, paths_below_a_link_are_not_looked_up, a_look_up_is_cached);

async fn paths_are_looked_up_without_following_links(engine: Engine) {
    let base_name = import(
        &engine,
        &[
            directory("app/", 1000, 2000, 0o1750, 1_234_567),
            link("app/link", "../data"),
            directory("data/", 0, 0, 0o755, 7),
            file("data/group", "staff:x:50:\n"),
            directory("etc/", 0, 0, 0o755, 8),
            file("etc/passwd", "app:x:1000:2000::/:/bin/sh\n"),
            link("etc/group", "/data/group"),
            link("lib", "usr/lib"),
            directory("usr/", 0, 0, 0o755, 8),
            directory("usr/lib/", 0, 0, 0o711, 8),
        ],
    );
    let store = engine.store().await;
    let name = image(&base_name);
    let base = read(&store, &name, None).await.unwrap();
    let paths =
        ["/app", "/app/link", "/absent", "/app/absent/too", "/data/group", "/etc", "/etc/passwd", "/etc/group", "/lib"];
    let tree = store.look_up(&name, &base, &PathQuery::for_needed(paths)).await.unwrap();
    let owned = |uid, gid, mode| Ownership { uid, gid, mode };
    let content = |text: &str| Entry::File { content: text.as_bytes().to_vec() };
    let target = |path: &str| Entry::Symlink { target: path.to_owned() };
    let expected = [
        Entry::Directory { owned: owned(1000, 2000, 0o1750), modified: 1_234_567 },
        target("/data"),
        Entry::Absent,
        Entry::Absent,
        content("staff:x:50:\n"),
        Entry::Directory { owned: owned(0, 0, 0o755), modified: 0 },
        content("app:x:1000:2000::/:/bin/sh\n"),
        target("/data/group"),
        target("/usr/lib"),
    ];
    for (path, expected) in paths.iter().zip(&expected) {
        assert_eq!(tree.get(*path), Some(expected), "{path}");
    }
    assert_eq!(tree.len(), paths.len());
    // other tests use the engine too, but only this test uses this base
    assert_eq!(engine.text(&["ps", "-aq", "--filter", &format!("ancestor={base_name}")]), "");
}

async fn paths_below_a_link_are_not_looked_up(engine: Engine) {
    let members = [
        directory("usr/", 0, 0, 0o755, 8),
        directory("usr/lib/", 0, 0, 0o711, 8),
        directory("usr/lib/x/", 0, 0, 0o700, 8),
        link("lib", "usr/lib"),
    ];
    let base_name = import(&engine, &members);
    let store = engine.store().await;
    let name = image(&base_name);
    let base = read(&store, &name, None).await.unwrap();
    let likely = ["/lib/x", "/lib/x/y", "/usr/lib", "/usr/no", "/usr/no/y"].map(str::to_owned).into();
    let tree =
        store.look_up(&name, &base, &PathQuery { likely, ..PathQuery::for_needed(["/lib", "/usr"]) }).await.unwrap();
    assert_eq!(tree.keys().collect::<Vec<_>>(), ["/lib", "/usr", "/usr/lib", "/usr/no", "/usr/no/y"]);
    assert_eq!((&tree["/usr/no"], &tree["/usr/no/y"]), (&Entry::Absent, &Entry::Absent));
}

async fn a_look_up_is_cached(engine: Engine) {
    let base_name = import(&engine, &[directory("app/", 1, 2, 0o755, 3)]);
    let cache = tempfile::tempdir().unwrap();
    let name = image(&base_name);
    let paths = PathQuery::for_needed(["/app", "/none"]);
    let store = engine.cached(cache.path().into()).await;
    let base = read(&store, &name, None).await.unwrap();
    let first = store.look_up(&name, &base, &paths).await.unwrap();
    // no engine has this image: the answer must come from the cache
    let again = store.look_up(&image("sbengine/absent:1"), &base, &paths).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(again.get("/none"), Some(&Entry::Absent));
}
