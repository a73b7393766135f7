//! Owns the tags of a write: all of them move, or none.
//!
//! A registry moves one tag at a time. So each tag's manifest is read before the first one moves, and put back when another cannot
//! be moved.

use reqwest::{Method, StatusCode};

use super::error::Failure;
use super::parts;
use super::read::{self, Tagged};
use super::upload::Target;
use super::write::{put_document, put_untagged};
use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::store::StoreError;
use crate::store::oci::parts::NewDocument;

/// A tag, and what it stood for before the write; nothing for a new one.
struct Before<'a> {
    name: &'a ImageName,
    tag: &'a str,
    old: Option<Tagged>,
}

/// Lets the tags of one repository stand for a manifest or an index whose blobs are there.
pub async fn put(target: &Target<'_>, document: &NewDocument<'_>, tags: &[&ImageName]) -> Result<(), StoreError> {
    let [_, _, ..] = tags else {
        // the end of the run waits until all tags are moved, or none
        let _moving = target.pending.begin().await;
        for name in tags {
            put_document(target, tag_of(name)?, document).await.map_err(|failure| failure.of(&target.shown))?;
        }
        return Ok(());
    };
    put_untagged(target, document).await?;
    let mut all = Vec::new();
    for &name in tags {
        let old = read::tagged(target.client, name, target.scope.clone()).await?;
        all.push(Before { name, tag: tag_of(name)?, old });
    }
    // the end of the run waits until all tags are moved, or none
    let _moving = target.pending.begin().await;
    for (index, before) in all.iter().enumerate() {
        if let Err(failure) = put_document(target, before.tag, document).await {
            return Err(put_all_back(target, &all[..=index], failure.of(&before.name.to_string())).await);
        }
    }
    Ok(())
}

fn tag_of(name: &ImageName) -> Result<&str, StoreError> {
    Ok(parts(name)?.tag().unwrap_or("latest"))
}

/// Puts back what was moved, and returns the failure that it is done for, with what could not be.
async fn put_all_back(target: &Target<'_>, moved: &[Before<'_>], failure: StoreError) -> StoreError {
    let mut diagnostic = *failure.0;
    for before in moved.iter().rev() {
        if put_back(target, before).await.is_err() {
            diagnostic = diagnostic
                .cause(format!("`{}` stands for the new image already, and could not be put back", before.name))
                .hint("bake again as soon as the registry works; what is right already is left alone");
        }
    }
    diagnostic.hints.dedup();
    diagnostic.into()
}

async fn put_back(target: &Target<'_>, before: &Before<'_>) -> Result<(), Failure> {
    let old = before.old.as_ref().map(|old| Digest::of(&old.bytes));
    // what was refused did not move; and a registry that cannot say so may still do as it is asked
    if let Ok(now) = read::tag_state(target.client, before.name).await
        && now == old
    {
        return Ok(());
    }
    match &before.old {
        Some(old) => put_document(target, before.tag, &NewDocument::new(&old.bytes, &old.media_type)).await,
        None => {
            let request = target.request(Method::DELETE, &format!("manifests/{}", before.tag));
            let response = target.client.send(target.host, &request).await?;
            match response.status() {
                StatusCode::ACCEPTED | StatusCode::OK | StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => Ok(()),
                _ => Err(Failure::refused(response).await),
            }
        }
    }
}
