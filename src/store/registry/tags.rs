//! Owns the tags of a write: all of them move, or none.
//!
//! A registry moves one tag at a time. So each tag's manifest is read before the first one moves, and restored if another cannot be
//! moved.

use futures_util::future::{try_join, try_join_all};
use reqwest::{Method, StatusCode};

use super::error::RegistryError;
use super::read::{self, ReceivedDocument};
use super::repository_of;
use super::upload::TargetRepository;
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::store::StoreError;
use crate::store::oci::parts::NewDocument;

/// A tag, and what it pointed to before the write; `None` for a new one.
struct OldTag<'a> {
    name: &'a ImageName,
    tag: &'a str,
    old: Option<ReceivedDocument>,
}

/// Moves tags of one repository to a manifest or an index whose blobs are there.
pub(super) async fn move_tags(
    target: &TargetRepository<'_>,
    document: &NewDocument<'_>,
    tags: &[&ImageName],
) -> Result<(), StoreError> {
    let [_, _, ..] = tags else {
        // the end of the run waits until all tags are moved, or none
        let _moving = target.pending.begin().await;
        for name in tags {
            let put = target.put_document(tag_of(name)?, document).await;
            put.map_err(|error| error.diagnose(&target.shown))?;
        }
        return Ok(());
    };
    let read = tags.iter().map(|&name| async move {
        let old = read::tagged(target.client, name, target.scope.clone()).await?;
        Ok(OldTag { name, tag: tag_of(name)?, old })
    });
    let ((), all) = try_join(target.put_untagged(document), try_join_all(read)).await?;
    let _moving = target.pending.begin().await;
    for (index, before) in all.iter().enumerate() {
        if let Err(error) = target.put_document(before.tag, document).await {
            return Err(restore_all(target, &all[..=index], error.diagnose(&before.name.to_string())).await);
        }
    }
    Ok(())
}

fn tag_of(name: &ImageName) -> Result<&str, StoreError> {
    Ok(repository_of(name)?.tag().unwrap_or("latest"))
}

/// Restores the tags that were moved. Returns the failure that is the reason, and which tags could not be restored.
async fn restore_all(target: &TargetRepository<'_>, moved: &[OldTag<'_>], failure: StoreError) -> StoreError {
    let mut diagnostic = *failure.0;
    for before in moved.iter().rev() {
        if restore(target, before).await.is_err() {
            diagnostic = diagnostic
                .cause(format!("`{}` points to the new image already, and could not be restored", before.name))
                .hint("bake again when the registry works; tags that are up to date are not rewritten");
        }
    }
    diagnostic.hints.dedup();
    diagnostic.into()
}

async fn restore(target: &TargetRepository<'_>, before: &OldTag<'_>) -> Result<(), RegistryError> {
    let old = before.old.as_ref().map(|old| Digest::of(&old.bytes));
    // a refused tag did not move; if the registry cannot tell, a restore may still work
    if let Ok(now) = read::tag_state(target.client, before.name).await
        && now == old
    {
        return Ok(());
    }
    match &before.old {
        Some(old) => target.put_document(before.tag, &NewDocument::new(&old.bytes, &old.media_type)).await,
        None => {
            let request = target.request(Method::DELETE, &format!("manifests/{}", before.tag));
            let response = target.client.send(target.registry, &request).await?;
            match response.status() {
                StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(()),
                _ => Err(RegistryError::from_response(response).await),
            }
        }
    }
}
