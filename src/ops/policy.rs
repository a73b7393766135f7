//! Writes the least-privilege IAM policies for a plan: which secrets are read, with which KMS keys, by whom.
//!
//! It is pure. Facts that only AWS knows (the account, the six random characters of an ARN, the KMS key) become placeholders or
//! patterns. The External ID is never in a policy: its owner fills it in.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::manifest::reference::SecretId;
use crate::org::{AwsService, AwsSettings, Batch, Credential, Org, Settings};
use crate::plan::Plan;
use crate::secrets::aws::arn::{account, has_likely_suffix, has_suffix, partition};

/// The placeholders that the owner of the policies fills in: for the secrets, the role that reads them, and the user that assumes it.
const ACCOUNT: &str = "ACCOUNT_ID";
const REGION: &str = "REGION";
const ROLE: &str = "ROLE_NAME";
const USER_ACCOUNT: &str = "USER_ACCOUNT_ID";
const USER: &str = "USER_NAME";
const IDENTITY: &str = "IDENTITY_ARN";
const EXTERNAL_ID: &str = "EXTERNAL_ID";
const ISSUER: &str = "ISSUER";
const SUBJECT: &str = "SUBJECT";
const AUDIENCE: &str = "AUDIENCE";

/// The most characters in a managed policy, not counting white space.
const MOST_CHARACTERS: usize = 6_144;

/// What only the user knows about the account.
#[derive(Debug, Clone, Default)]
pub struct PolicyOptions {
    pub account: Option<String>,
    /// The ARNs of the KMS keys that encrypt the secrets.
    pub kms_keys: Vec<String>,
    /// Whether to print the user's policy and the role's trust policy too.
    pub assume_role: bool,
    /// The issuer of the web identity tokens that the role is assumed with.
    pub web_identity: Option<WebIdentity>,
}

/// The tokens that a trust policy allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebIdentity {
    /// IAM's name for it: without `https://`.
    pub issuer: String,
    pub subject: String,
    pub audience: String,
}

/// A policy document and what it is attached to.
#[derive(Debug, Clone, Serialize)]
pub struct Policy {
    /// The credential and the kind, numbered from the second part on: `aws-prod/read`, `aws-prod/read-2`.
    pub name: String,
    pub credential: String,
    /// `read` to read the secrets, `assume-role` for the user, `trust` for the role's trust policy.
    pub kind: &'static str,
    /// What to attach it to, in words.
    pub attach_to: String,
    /// The placeholders in the document.
    pub fill_in: Vec<&'static str>,
    pub document: PolicyDocument,
}

/// An IAM policy, with its fields in the order of AWS's examples.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyDocument {
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
    condition: BTreeMap<&'static str, BTreeMap<String, OneOrMany>>,
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

    fn only_if(mut self, operator: &'static str, key: impl Into<String>, values: Vec<String>) -> Self {
        self.condition.entry(operator).or_default().insert(key.into(), values.into());
        self
    }
}

/// Returns the policies for every AWS credential that the plan uses, in the order of the org file.
pub fn policies(plan: &Plan, org: &Org, options: &PolicyOptions) -> Vec<Policy> {
    // a path ends in a slash, and no parameter's name does
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
            Settings::Aws(aws) => for_credential(credential, aws, &ids, options),
            Settings::Command(_) | Settings::File(_) => Vec::new(),
        }
    };
    secrets.into_iter().flat_map(of_credential).collect()
}

fn for_credential(
    credential: &Credential,
    aws: &AwsSettings,
    ids: &[&SecretId],
    options: &PolicyOptions,
) -> Vec<Policy> {
    let place = SecretsPlace::for_secrets(aws, ids, options);
    let role = aws.role.as_ref().map(|role| role.arn.clone());
    let role_of_theirs = format!("arn:{}:iam::{}:role/{ROLE}", place.partition, place.account);
    let role = role.or(options.assume_role.then_some(role_of_theirs));
    let policy = |kind: &'static str, attach_to: String, document: PolicyDocument| {
        let (name, credential) = (format!("{}/{kind}", credential.name), credential.name.clone());
        Policy { name, credential, kind, attach_to, fill_in: document.placeholders(), document }
    };
    let token =
        options.web_identity.clone().or_else(|| aws.web_identity_token.as_ref().map(|_| WebIdentity::unknown()));
    let user = match aws.keys {
        _ if token.is_some() => "the identity of the token",
        Some(_) => "the user that the access key belongs to",
        None => "the identity that the machine's AWS credentials belong to",
    };
    let reader = role.as_ref().map_or(user.to_owned(), |role| format!("the role {role}"));
    let documents = read(aws, &place.arns(aws.service, ids), &options.kms_keys);
    let parts = documents.len();
    let mut policies: Vec<Policy> =
        documents.into_iter().map(|document| policy("read", reader.clone(), document)).collect();
    for (part, policy) in policies.iter_mut().enumerate().filter(|_| parts > 1) {
        policy.attach_to +=
            &format!(", part {} of {parts}, as one policy takes {MOST_CHARACTERS} characters", part + 1);
        if part > 0 {
            policy.name += &format!("-{}", part + 1);
        }
    }
    if let (true, Some(role), Some(token)) = (options.assume_role, &role, &token) {
        let attach_to = format!("the trust policy of the role {role}");
        policies.push(policy("trust", attach_to, PolicyDocument::of(vec![token.trust(role, &place)])));
    } else if let (true, Some(role)) = (options.assume_role, &role) {
        let assume = Statement::allow("AssumeRole", &["sts:AssumeRole"]).on(vec![role.clone()]);
        policies.push(policy("assume-role", user.to_owned(), PolicyDocument::of(vec![assume])));
        let mut trust = Statement::allow("AssumedBySecretbake", &["sts:AssumeRole"]);
        trust.principal.insert(
            "AWS",
            match aws.keys {
                Some(_) => format!("arn:{}:iam::{USER_ACCOUNT}:user/{USER}", place.partition),
                None => IDENTITY.to_owned(),
            },
        );
        let has_id = aws.role.as_ref().is_none_or(|role| role.external_id.is_some());
        if has_id {
            trust = trust.only_if("StringEquals", "sts:ExternalId", vec![EXTERNAL_ID.to_owned()]);
        }
        policies.push(policy("trust", format!("the trust policy of the role {role}"), PolicyDocument::of(vec![trust])));
    }
    policies
}

impl WebIdentity {
    /// Returns placeholders for the issuer and its tokens.
    fn unknown() -> Self {
        WebIdentity { issuer: ISSUER.to_owned(), subject: SUBJECT.to_owned(), audience: AUDIENCE.to_owned() }
    }

    /// Returns the statement that allows the tokens; a subject with `*` matches several.
    fn trust(&self, role: &str, place: &SecretsPlace<'_>) -> Statement {
        let WebIdentity { issuer, subject, audience } = self;
        // the provider is registered in the role's own account
        let account = account(role).unwrap_or(place.account);
        let mut trust = Statement::allow("AssumedWithToken", &["sts:AssumeRoleWithWebIdentity"]);
        trust.principal.insert("Federated", format!("arn:{}:iam::{account}:oidc-provider/{issuer}", place.partition));
        let matching = if subject.contains('*') { "StringLike" } else { "StringEquals" };
        trust.only_if("StringEquals", format!("{issuer}:aud"), vec![audience.clone()]).only_if(
            matching,
            format!("{issuer}:sub"),
            vec![subject.clone()],
        )
    }
}

/// Where a credential's secrets are, if known.
struct SecretsPlace<'a> {
    partition: &'a str,
    region: &'a str,
    account: &'a str,
}

impl<'a> SecretsPlace<'a> {
    /// Takes the region and partition from the credential, its role, and the ARNs that it reads: no credential reads an ARN of
    /// another region.
    fn for_secrets(aws: &'a AwsSettings, ids: &[&'a SecretId], options: &'a PolicyOptions) -> Self {
        let role = aws.role.as_ref().map(|role| role.arn.as_str());
        let arn = ids.iter().find(|id| id.is_arn()).map(|id| id.as_str());
        let region = aws.region.as_deref().or(arn.and_then(|arn| part(arn, 3)));
        let named = role.or(arn).and_then(|arn| part(arn, 1));
        SecretsPlace {
            partition: region.map(partition).or(named).unwrap_or("aws"),
            region: region.unwrap_or(REGION),
            // if a role is assumed, the secrets are in its account
            account: options.account.as_deref().or(role.and_then(account)).unwrap_or(ACCOUNT),
        }
    }

    /// Returns the distinct ARNs of secrets for a statement, sorted. The ARN of a path ends in `/*`.
    fn arns(&self, service: AwsService, ids: &[&SecretId]) -> Vec<String> {
        let SecretsPlace { partition, region, account } = self;
        let forms = |id: &&SecretId| match id.is_arn() {
            _ if id.is_parameter_arn() => vec![id.to_string()],
            false if service == AwsService::ParameterStore => {
                let name = id.as_str().trim_start_matches('/');
                let below = if id.is_path() { "*" } else { "" };
                vec![format!("arn:{partition}:ssm:{region}:{account}:parameter/{name}{below}")]
            }
            true => forms_of(id.as_str()),
            false => vec![format!("arn:{partition}:secretsmanager:{region}:{account}:secret:{id}-??????")],
        };
        ids.iter().flat_map(forms).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

fn part(arn: &str, at: usize) -> Option<&str> {
    arn.split(':').nth(at).filter(|part| !part.is_empty())
}

/// Returns the possible meanings of an ARN: as it is, with a suffix added, or both if its name may end like a suffix.
fn forms_of(arn: &str) -> Vec<String> {
    let (whole, open) = (arn.to_owned(), format!("{arn}-??????"));
    match (has_suffix(arn), has_likely_suffix(arn)) {
        (_, true) => vec![whole],
        (true, false) => vec![whole, open],
        (false, false) => vec![open],
    }
}

/// Returns the documents that allow reading these secrets; several if one would exceed IAM's limit.
fn read(aws: &AwsSettings, arns: &[String], kms_keys: &[String]) -> Vec<PolicyDocument> {
    let split = |parts: usize| -> Vec<PolicyDocument> {
        let chunks = arns.chunks(arns.len().div_ceil(parts).max(1));
        chunks.enumerate().map(|(part, arns)| PolicyDocument::of(statements(aws, arns, kms_keys, part == 0))).collect()
    };
    let fits =
        |documents: &Vec<PolicyDocument>| documents.iter().all(|document| document.characters() <= MOST_CHARACTERS);
    (1..arns.len()).map(split).find(fits).unwrap_or_else(|| split(arns.len().max(1)))
}

fn statements(aws: &AwsSettings, arns: &[String], kms_keys: &[String], is_first: bool) -> Vec<Statement> {
    let of_arns = |form: fn(&str, &str, &str) -> String| -> Vec<String> {
        let parts = arns.iter().filter_map(|arn| Some(form(part(arn, 1)?, part(arn, 3)?, part(arn, 4)?)));
        parts.collect::<BTreeSet<_>>().into_iter().collect()
    };
    let keys = match kms_keys {
        [] => of_arns(|partition, region, account| format!("arn:{partition}:kms:{region}:{account}:key/*")),
        keys => keys.to_vec(),
    };
    if aws.service == AwsService::ParameterStore {
        let service = of_arns(|_, region, _| format!("ssm.{region}.amazonaws.com"));
        let read = ["ssm:GetParameters", "ssm:GetParameterHistory"];
        let (paths, parameters): (Vec<String>, Vec<String>) = arns.iter().cloned().partition(|arn| arn.ends_with("/*"));
        let matching = if paths.is_empty() { "StringEquals" } else { "StringLike" };
        let mut statements = Vec::new();
        if !parameters.is_empty() {
            statements.push(Statement::allow("ParameterStoreRead", &read).on(parameters));
        }
        if !paths.is_empty() {
            // AWS compares the path that is asked for, and not each parameter below it
            let paths = paths.iter().map(|arn| path_of(arn).to_owned()).collect();
            statements.push(Statement::allow("ParameterStoreReadPath", &["ssm:GetParametersByPath"]).on(paths));
        }
        statements.push(
            Statement::allow("KMSDecrypt", &["kms:Decrypt"])
                .on(keys)
                .only_if("StringEquals", "kms:ViaService", service)
                .only_if(matching, "kms:EncryptionContext:PARAMETER_ARN", arns.to_vec()),
        );
        if is_first {
            // for --online and drift; AWS accepts no narrower resource, and it returns no values
            let describe = Statement::allow("ParameterStoreDescribe", &["ssm:DescribeParameters"]);
            statements.push(describe.on(vec!["*".to_owned()]));
        }
        return statements;
    }
    let mut service = of_arns(|_, region, _| format!("secretsmanager.{region}.amazonaws.com"));
    if arns.iter().any(|arn| part(arn, 1) == Some("aws-cn")) {
        service.extend(of_arns(|_, region, _| format!("secretsmanager.{region}.amazonaws.com.cn")));
    }
    // Secrets Manager binds each ciphertext to its secret's ARN, which narrows down an unknown key
    let matching = if arns.iter().any(|arn| arn.contains('?')) { "StringLike" } else { "StringEquals" };
    let read = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"];
    let mut statements = vec![
        Statement::allow("SecretsManagerRead", &read).on(arns.to_vec()),
        Statement::allow("KMSDecrypt", &["kms:Decrypt"])
            .on(keys)
            .only_if("StringEquals", "kms:ViaService", service)
            .only_if(matching, "kms:EncryptionContext:SecretARN", arns.to_vec()),
    ];
    if aws.batch == Batch::Auto && is_first {
        // AWS accepts no narrower resource, and returns only secrets that GetSecretValue is allowed for
        let batch = Statement::allow("SecretsManagerBatch", &["secretsmanager:BatchGetSecretValue"]);
        statements.push(batch.on(vec!["*".to_owned()]));
    }
    statements
}

/// Returns the ARN of a path, given that of everything below it.
fn path_of(arn: &str) -> &str {
    let path = arn.strip_suffix('*').unwrap_or(arn);
    // only the root's own ARN ends in a slash
    path.strip_suffix('/').filter(|path| !path.ends_with(":parameter")).unwrap_or(path)
}

impl PolicyDocument {
    fn of(statement: Vec<Statement>) -> Self {
        PolicyDocument { version: "2012-10-17", statement }
    }

    /// Returns how many characters IAM counts, with the longest possible text for the placeholders.
    fn characters(&self) -> usize {
        // plain data with string keys always serialises
        let text = serde_json::to_string(self).unwrap_or_default();
        text.replace(ACCOUNT, "123456789012").replace(REGION, "ap-northeast-1").len()
    }

    /// Returns the distinct placeholders in it.
    fn placeholders(&self) -> Vec<&'static str> {
        let principals = self.statement.iter().flat_map(|statement| statement.principal.values());
        let resources = self.statement.iter().flat_map(|statement| match &statement.resource {
            Some(OneOrMany::One(arn)) => std::slice::from_ref(arn),
            Some(OneOrMany::Many(arns)) => arns,
            None => &[],
        });
        let arns: Vec<&String> = principals.chain(resources).collect();
        let has = |placeholder: &&'static str| {
            let in_condition = *placeholder == EXTERNAL_ID
                && self
                    .statement
                    .iter()
                    .any(|statement| statement.condition.values().any(|keys| keys.contains_key("sts:ExternalId")));
            let in_token = self.statement.iter().any(|statement| {
                let conditions = statement.condition.values().flatten();
                let is_it = |value: &OneOrMany| matches!(value, OneOrMany::One(text) if text == placeholder);
                [SUBJECT, AUDIENCE].contains(placeholder)
                    && conditions.into_iter().any(|(key, value)| key.starts_with(ISSUER) && is_it(value))
            });
            let is_it = |text: &str| text.split([':', '/']).any(|word| word == *placeholder);
            // a secret's name may equal a placeholder
            let in_arn = |arn: &&String| {
                is_it(
                    arn.split_once(":secret:")
                        .or(arn.split_once(":parameter/"))
                        .map_or(arn.as_str(), |(place, _)| place),
                )
            };
            in_condition || in_token || arns.iter().any(in_arn)
        };
        [ACCOUNT, REGION, ROLE, USER_ACCOUNT, USER, IDENTITY, EXTERNAL_ID, ISSUER, SUBJECT, AUDIENCE]
            .into_iter()
            .filter(has)
            .collect()
    }
}
