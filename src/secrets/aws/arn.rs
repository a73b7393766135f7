//! Owns what an ARN says, and what a region says of the ARNs in it.
//!
//! It is pure. The ARN of a secret ends in a hyphen and six random characters, which nobody but AWS knows.

/// Returns the part of AWS that a region is in, which every ARN names.
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

/// Tells whether a text ends as a secret's ARN does: a hyphen and six letters or digits. A name can end so too.
pub fn has_suffix(arn: &str) -> bool {
    arn.rsplit_once('-').is_some_and(|(_, end)| end.len() == 6 && end.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Tells whether a text ends as a secret's ARN does, and hardly any name: in letters of both cases, or letters and digits.
pub fn has_likely_suffix(arn: &str) -> bool {
    let end = arn.rsplit_once('-').map_or("", |(_, end)| end);
    let has = |is: fn(&u8) -> bool| end.bytes().any(|byte| is(&byte));
    let classes = [has(u8::is_ascii_lowercase), has(u8::is_ascii_uppercase), has(u8::is_ascii_digit)];
    has_suffix(arn) && classes.iter().filter(|has| **has).count() > 1
}

/// Returns the ARN that a principal's policies are attached to: the role's, where the principal is a session of one.
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
