//! Parses ARNs and derives the partition from a region.
//!
//! It is pure. The ARN of a secret ends in a hyphen and six random characters that only AWS knows.

/// Returns the partition of a region, which is part of every ARN.
pub fn partition(region: &str) -> &'static str {
    const PARTITIONS: [(&str, &str); 7] = [
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    PARTITIONS.iter().find(|(regions, _)| region.starts_with(regions)).map_or("aws", |(_, partition)| partition)
}

/// Returns the account in an ARN.
pub fn account(arn: &str) -> Option<&str> {
    arn.split(':').nth(4).filter(|account| !account.is_empty())
}

/// Tells whether a text ends like a secret's ARN, in a hyphen and six letters or digits. A name can end like this too.
pub fn has_suffix(arn: &str) -> bool {
    arn.rsplit_once('-').is_some_and(|(_, end)| end.len() == 6 && end.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Tells whether a text ends like a secret's ARN and unlike most names: in upper and lower case letters, or letters and digits.
pub fn has_likely_suffix(arn: &str) -> bool {
    let end = arn.rsplit_once('-').map_or("", |(_, end)| end);
    let has = |is: fn(&u8) -> bool| end.bytes().any(|byte| is(&byte));
    let classes = [has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase), has(u8::is_ascii_digit)];
    has_suffix(arn) && classes.iter().filter(|has| **has).count() > 1
}

/// Returns the ARN that a principal's policies are attached to: for the session of a role, the role's.
pub fn identity(principal: &str) -> String {
    let parts: Vec<&str> = principal.splitn(6, ':').collect();
    match parts[..] {
        ["arn", partition, "sts", _, account, session] => match session.split('/').collect::<Vec<_>>()[..] {
            ["assumed-role", role, _] => format!("arn:{partition}:iam::{account}:role/{role}"),
            _ => principal.to_owned(),
        },
        _ => principal.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_of_its_role() {
        for (principal, expected) in [
            ("arn:aws:sts::123456789012:assumed-role/ci/i-0a1b", "arn:aws:iam::123456789012:role/ci"),
            ("arn:aws-cn:sts::123456789012:assumed-role/ci/job@7", "arn:aws-cn:iam::123456789012:role/ci"),
            ("arn:aws:sts::123456789012:federated-user/me", "arn:aws:sts::123456789012:federated-user/me"),
            ("arn:aws:iam::123456789012:user/team/reader", "arn:aws:iam::123456789012:user/team/reader"),
            ("nobody", "nobody"),
        ] {
            assert_eq!(identity(principal), expected);
        }
    }

    #[test]
    fn a_region_says_its_partition() {
        for (region, expected) in [
            ("eu-west-1", "aws"),
            ("cn-north-1", "aws-cn"),
            ("us-gov-west-1", "aws-us-gov"),
            ("us-iso-east-1", "aws-iso"),
            ("us-isob-east-1", "aws-iso-b"),
            ("eu-isoe-west-1", "aws-iso-e"),
            ("us-isof-south-1", "aws-iso-f"),
            ("eusc-de-east-1", "aws-eusc"),
        ] {
            assert_eq!(partition(region), expected);
        }
    }
}
