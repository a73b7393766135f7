//! Owns what is known about AWS's regions without asking AWS: the form of their names, and the current list.
//!
//! A region that is not in the list still works; it only causes a warning.

use crate::manifest::yaml::fields::nearest;

/// The regions of every partition.
const REGIONS: [&str; 46] = [
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-isoe-west-1",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-iso-east-1",
    "us-iso-west-1",
    "us-isob-east-1",
    "us-isob-west-1",
    "us-isof-east-1",
    "us-isof-south-1",
    "us-west-1",
    "us-west-2",
];

/// Tells whether a text has the form of a region: words of letters, then a number, such as `us-gov-west-1`.
pub fn is_region_shaped(text: &str) -> bool {
    let Some((words, number)) = text.rsplit_once('-') else { return false };
    let is_word = |word: &str| word.len() >= 2 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_number = (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    text.len() <= 32 && is_number && words.contains('-') && words.split('-').all(is_word)
}

/// Tells whether a region is in the list.
pub fn is_known(region: &str) -> bool {
    REGIONS.contains(&region)
}

/// Returns the known region that an unknown one probably means.
pub fn nearest_known(region: &str) -> Option<&'static str> {
    nearest(region, &REGIONS).filter(|known| *known != region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_region_has_the_form_of_one() {
        for region in REGIONS {
            assert!(is_region_shaped(region), "{region}");
        }
        for text in ["mars-1", "us-east", "us-east-x", "us--1", "US-EAST-1", "us-east-1a", "us-east-100", "", "a-b-1"] {
            assert!(!is_region_shaped(text), "{text}");
        }
    }
}
