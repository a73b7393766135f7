//! Owns the IAM policies that a plan needs and nothing more: which secrets are read, with which keys, by whom.
//!
//! It is pure. What only AWS knows (the account, the six random characters of an ARN, the KMS key) is a placeholder or a
//! pattern, and the External ID is never in a policy: its owner fills it in.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::arn::{has_suffix, partition};
use crate::manifest::reference::SecretId;
use crate::org::{Aws, Batch, Credential, Org, Settings};
use crate::plan::Plan;

/// Stands for what the policies' owner fills in.
const ACCOUNT: &str = "ACCOUNT_ID";
const EXTERNAL_ID: &str = "EXTERNAL_ID";
const USER: &str = "USER_NAME";
const ROLE: &str = "ROLE_NAME";

/// What the invocation says of the account that nobody else knows.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub account: Option<String>,
    /// The ARNs of the KMS keys that encrypt the secrets.
    pub kms_keys: Vec<String>,
    /// Whether the user's policy and the role's trust policy are wanted too.
    pub assume_role: bool,
}

/// A policy document and what it is attached to.
#[derive(Debug, Clone, Serialize)]
pub struct Policy {
    pub credential: String,
    /// `read` for who reads the secrets, `assume-role` for the user, `trust` for the role's trust policy.
    pub kind: &'static str,
    /// In words.
    pub attach_to: String,
    pub document: Document,
}

/// An IAM policy, its fields in the order that AWS's own examples have.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    version: &'static str,
    statement: Vec<Statement>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: &'static str,
    effect: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    principal: BTreeMap<&'static str, String>,
    action: OneOrMany,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<OneOrMany>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    condition: BTreeMap<&'static str, BTreeMap<&'static str, OneOrMany>>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<Vec<String>> for OneOrMany {
    fn from(mut texts: Vec<String>) -> Self {
        if texts.len() == 1 { OneOrMany::One(texts.remove(0)) } else { OneOrMany::Many(texts) }
    }
}

impl Statement {
    fn allow(sid: &'static str, actions: &[&str]) -> Self {
        let action = actions.iter().map(|action| (*action).to_owned()).collect::<Vec<_>>().into();
        let (principal, condition) = (BTreeMap::new(), BTreeMap::new());
        Statement { sid, effect: "Allow", principal, action, resource: None, condition }
    }

    fn on(mut self, resources: Vec<String>) -> Self {
        self.resource = Some(resources.into());
        self
    }

    fn only_if(mut self, operator: &'static str, key: &'static str, values: Vec<String>) -> Self {
        self.condition.entry(operator).or_default().insert(key, values.into());
        self
    }
}

/// Returns the policies of every AWS credential that the plan reads with, in the order of the org file.
pub fn policies(plan: &Plan, org: &Org, options: &Options) -> Vec<Policy> {
    let mut secrets: BTreeMap<usize, Vec<&SecretId>> = BTreeMap::new();
    for read in &plan.reads {
        let ids = secrets.entry(read.credential).or_default();
        if !ids.contains(&&read.id) {
            ids.push(&read.id);
        }
    }
    let of_credential = |(index, ids): (usize, Vec<&SecretId>)| {
        let credential = &org.credentials[index];
        match &credential.settings {
            Settings::Aws(aws) => of(credential, aws, &ids, options),
            Settings::File(_) => Vec::new(),
        }
    };
    secrets.into_iter().flat_map(of_credential).collect()
}

fn of(credential: &Credential, aws: &Aws, ids: &[&SecretId], options: &Options) -> Vec<Policy> {
    let region = aws.region.as_deref().unwrap_or("REGION");
    let partition = partition(region);
    let role = aws.role.as_ref().map(|role| role.arn.clone());
    // the secrets are of the role's account, if a role is assumed
    let of_role = role.as_deref().and_then(|role| role.split(':').nth(4));
    let account = options.account.as_deref().or(of_role).unwrap_or(ACCOUNT);
    let place = format!("arn:{partition}:iam::{account}");
    let role = role.clone().or(options.assume_role.then(|| format!("{place}:role/{ROLE}")));
    let policy = |kind, attach_to: String, statement: Vec<Statement>| Policy {
        credential: credential.name.clone(),
        kind,
        attach_to,
        document: Document { version: "2012-10-17", statement },
    };
    let reader = match (&role, &aws.keys) {
        (Some(role), _) => format!("the role {role}"),
        (None, Some(_)) => "the user that the access key belongs to".to_owned(),
        (None, None) => "the identity that the machine's AWS credentials belong to".to_owned(),
    };
    let mut policies = vec![policy("read", reader, read(aws, ids, region, account, &options.kms_keys))];
    if let (true, Some(role)) = (options.assume_role, &role) {
        let assume = Statement::allow("AssumeRole", &["sts:AssumeRole"]).on(vec![role.clone()]);
        policies.push(policy("assume-role", "the user that the access key belongs to".to_owned(), vec![assume]));
        let mut trust = Statement::allow("AssumedBySecretbake", &["sts:AssumeRole"]);
        trust.principal.insert("AWS", format!("arn:{partition}:iam::{ACCOUNT}:user/{USER}"));
        let has_id = aws.role.as_ref().is_none_or(|role| role.external_id.is_some());
        if has_id {
            trust = trust.only_if("StringEquals", "sts:ExternalId", vec![EXTERNAL_ID.to_owned()]);
        }
        policies.push(policy("trust", format!("the trust policy of the role {role}"), vec![trust]));
    }
    policies
}

/// Returns the statements that let someone read these secrets.
fn read(aws: &Aws, ids: &[&SecretId], region: &str, account: &str, kms_keys: &[String]) -> Vec<Statement> {
    let partition = partition(region);
    let mut arns: Vec<String> = ids
        .iter()
        .map(|id| match id.is_arn() {
            true if has_suffix(id.as_str()) => id.as_str().to_owned(),
            true => format!("{id}-??????"),
            false => format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{id}-??????"),
        })
        .collect();
    arns.sort();
    arns.dedup();
    let keys = match kms_keys {
        [] => {
            let accounts = arns.iter().filter_map(|arn| arn.split(':').nth(4));
            let mut keys: Vec<String> =
                accounts.map(|account| format!("arn:{partition}:kms:{region}:{account}:key/*")).collect();
            keys.sort();
            keys.dedup();
            keys
        }
        keys => keys.to_vec(),
    };
    let mut service = vec![format!("secretsmanager.{region}.amazonaws.com")];
    if partition == "aws-cn" {
        service.push(format!("secretsmanager.{region}.amazonaws.com.cn"));
    }
    // Secrets Manager binds each ciphertext to its secret's ARN: a key that is not known is narrowed down so
    let matching = if arns.iter().any(|arn| arn.contains('?')) { "StringLike" } else { "StringEquals" };
    let read = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"];
    let mut statements = vec![
        Statement::allow("SecretsManagerRead", &read).on(arns.clone()),
        Statement::allow("KMSDecrypt", &["kms:Decrypt"])
            .on(keys)
            .only_if("StringEquals", "kms:ViaService", service)
            .only_if(matching, "kms:EncryptionContext:SecretARN", arns),
    ];
    if aws.batch == Batch::Auto {
        // AWS takes no narrower resource, and gives only those secrets that GetSecretValue is allowed for
        let batch = Statement::allow("SecretsManagerBatch", &["secretsmanager:BatchGetSecretValue"]);
        statements.push(batch.on(vec!["*".to_owned()]));
    }
    statements
}
