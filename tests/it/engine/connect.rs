//! Connecting to an engine over TCP, TLS and ssh.

use secretbake::runtime::unfinished::Unfinished;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secretbake::store::ImageStore as _;
use secretbake::store::engine::{Endpoint, EndpointSettings, EngineStore, Timeouts, TlsFiles};
use serde_json::json;
use tokio::net::{TcpListener, UnixStream};

use super::{BUSYBOX, image};
use crate::support::engine::Engine;
use crate::support::image::TestImage;
use crate::support::project::Project;
use crate::support::tls::certificates;

in_engine!(only_overlay2, overlay2: an_engine_over_tcp, an_engine_over_tls_and_in_a_context, an_engine_over_ssh);

/// Forwards every connection to the engine's socket, and returns the port to connect to.
async fn relay(host: &str, tls: Option<tokio_rustls::TlsAcceptor>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let socket = host.strip_prefix("unix://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (tls, socket) = (tls.clone(), socket.clone());
            tokio::spawn(async move {
                let mut engine = UnixStream::connect(socket).await.unwrap();
                if let Some(tls) = tls {
                    let Ok(mut stream) = tls.accept(stream).await else { return };
                    drop(tokio::io::copy_bidirectional(&mut stream, &mut engine).await);
                } else {
                    drop(tokio::io::copy_bidirectional(&mut stream, &mut engine).await);
                }
            });
        }
    });
    port
}

async fn has_busybox(endpoint: &Endpoint) -> Result<bool, &'static str> {
    let store = EngineStore::connect(endpoint, None, Timeouts::default(), Unfinished::default())
        .await
        .map_err(|error| error.0.code)?;
    Ok(store.tag_state(&image(BUSYBOX)).await.unwrap().is_some())
}

async fn an_engine_over_tcp(engine: Engine) {
    let port = relay(&engine.host, None).await;
    let settings = EndpointSettings { host: Some(format!("tcp://localhost:{port}")), ..EndpointSettings::default() };
    assert_eq!(has_busybox(&Endpoint::resolve(&settings).unwrap()).await, Ok(true));
}

async fn an_engine_over_tls_and_in_a_context(engine: Engine) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    certificates(path);
    let pem = |name: &str| CertificateDer::from_pem_file(path.join(name)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pem("ca.pem")).unwrap();
    let clients = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::from_pem_file(path.join("server-key.pem")).unwrap();
    let config = config.with_client_cert_verifier(clients.build().unwrap());
    let config = config.with_single_cert(vec![pem("server-cert.pem")], key).unwrap();
    let port = relay(&engine.host, Some(Arc::new(config).into())).await;

    for host in ["localhost", "127.0.0.1"] {
        let settings = EndpointSettings {
            host: Some(format!("tcp://{host}:{port}")),
            tls_verify: Some("1".into()),
            cert_path: Some(path.into()),
            ..EndpointSettings::default()
        };
        assert_eq!(has_busybox(&Endpoint::resolve(&settings).unwrap()).await, Ok(true), "{host}");
    }
    // with each file named, like the Docker CLI's options
    let file = |name: &str| Some(path.join(name));
    let settings = EndpointSettings {
        host: Some(format!("tcp://localhost:{port}")),
        tls: Some("true".into()),
        tls_verify: Some("true".into()),
        tls_files: TlsFiles { ca: file("ca.pem"), cert: file("cert.pem"), key: file("key.pem") },
        ..EndpointSettings::default()
    };
    assert_eq!(has_busybox(&Endpoint::resolve(&settings).unwrap()).await, Ok(true));
    // through a context
    let config_dir = path.join("docker");
    let id = secretbake::image::digest::Digest::of(b"build");
    let meta = config_dir.join("contexts/meta").join(id.hex());
    let tls = config_dir.join("contexts/tls").join(id.hex()).join("docker");
    std::fs::create_dir_all(&meta).unwrap();
    std::fs::create_dir_all(&tls).unwrap();
    let text = format!(r#"{{"Name":"build","Endpoints":{{"docker":{{"Host":"tcp://localhost:{port}"}}}}}}"#);
    std::fs::write(meta.join("meta.json"), text).unwrap();
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        std::fs::copy(path.join(name), tls.join(name)).unwrap();
    }
    let settings =
        EndpointSettings { context: Some("build".into()), config_dir: Some(config_dir), ..EndpointSettings::default() };
    assert_eq!(has_busybox(&Endpoint::resolve(&settings).unwrap()).await, Ok(true));
    // a certificate of another authority is refused
    let other = tempfile::tempdir().unwrap();
    certificates(other.path());
    std::fs::copy(other.path().join("ca.pem"), tls.join("ca.pem")).unwrap();
    let refused = has_busybox(&Endpoint::resolve(&settings).unwrap()).await;
    assert_eq!(refused, Err("not-an-engine"));
}

async fn an_engine_over_ssh(engine: Engine) {
    let directory = tempfile::tempdir().unwrap();
    // a fake ssh that checks its arguments and runs the command here
    let program = |script: &str| {
        let path = directory.path().join(format!("ssh{}", script.len()));
        crate::support::program(&path, script);
        path
    };
    let socket = engine.host.strip_prefix("unix://").unwrap();
    let address = format!("ssh://me@build:2222{socket}");
    let Endpoint::Ssh(target) = Endpoint::parse(&address, None).unwrap() else { panic!() };
    let good = program(
        r#"[ "$1 $2 $3 $4" = "-l me -p 2222" ] || exit 9
while [ "$1" != -- ]; do shift; done
[ "$2" = build ] || exit 8
shift 2; exec "$@""#,
    );
    let mut ssh = target.clone();
    ssh.program = good;
    assert_eq!(has_busybox(&Endpoint::Ssh(ssh)).await, Ok(true));

    let mut ssh = target.clone();
    ssh.program = program("echo 'me@build: Permission denied (publickey).' >&2; exit 255");
    let error = EngineStore::connect(&Endpoint::Ssh(ssh), None, Timeouts::default(), Unfinished::default())
        .await
        .err()
        .unwrap();
    assert_eq!(error.0.code, "engine-connection");
    assert_eq!(error.0.causes.last().unwrap(), "ssh said: me@build: Permission denied (publickey).");

    let mut ssh = target;
    ssh.program = "/absent/ssh".into();
    assert_eq!(has_busybox(&Endpoint::Ssh(ssh)).await, Err("engine-ssh"));
}

#[tokio::test]
async fn an_unencrypted_connection_is_warned_about_once() {
    let engine = Engine::one();
    let port = relay(&engine.host, None).await;
    let base = engine.load(&TestImage::busybox(json!({ "Cmd": ["/bin/sh"] })));
    let warning = format!(
        "warning: the image and its secrets were sent to tcp://0.0.0.0:{port} without encryption\n  \
         hint: connect over ssh://, or over TLS: set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH\n"
    );
    // 0.0.0.0 does not count as this machine
    for (host, warned) in [("0.0.0.0", warning.as_str()), ("127.0.0.1", "")] {
        let project = Project::with_file("  a: canary\n").variable("DOCKER_HOST", &format!("tcp://{host}:{port}"));
        for (file, tag) in [("one.yaml", base.baked()), ("two.yaml", base.baked() + "-too")] {
            let name = &base.name;
            project.write(
                file,
                &format!(
                    "version: 1\nimage: {{ base: \"{name}\", tags: [\"{tag}\"] }}\nenv: {{ A: {{ secret: a }} }}\n"
                ),
            );
        }
        let (engine, tags) = (engine.clone(), [base.baked(), base.baked() + "-too"]);
        let ran = tokio::task::spawn_blocking(move || {
            let ran = project.run(&["bake", "one.yaml", "two.yaml", "--jobs", "1"]);
            engine.cli(&["rmi", "-f", &tags[0], &tags[1]]);
            ran
        });
        let ran = ran.await.unwrap();
        let said = format!("{warned}baked: one.yaml\nbaked: two.yaml\n");
        assert_eq!((ran.status, ran.stderr), (Some(0), said));
    }
}

#[test]
fn a_password_in_the_address_is_neither_shown_nor_passed_to_ssh() {
    const KEY: &str = "hint: remove the password and log in with a key: install yours with `ssh-copy-id USER@HOST`";
    const TCP: &str =
        "hint: remove the password: an engine on tcp:// identifies clients by certificate, see DOCKER_CERT_PATH";
    for (address, shown, hint) in [
        ("ssh://me:canary@build:22", "ssh://***@build:22", KEY),
        ("ssh://me:can/ary@build", "ssh://***@build", KEY),
        ("tcp://me:canary@127.0.0.1:1", "tcp://***@127.0.0.1:1", TCP),
    ] {
        let by_host = Project::with_file("  a: b\n").variable("DOCKER_HOST", address);
        let by_context = Project::with_file("  a: b\n").docker_config(&json!({ "currentContext": "build" }));
        let id = secretbake::image::digest::Digest::of(b"build");
        std::fs::create_dir_all(by_context.path("docker/contexts/meta").join(id.hex())).unwrap();
        let meta = json!({ "Name": "build", "Endpoints": { "docker": { "Host": address } } });
        by_context.write(&format!("docker/contexts/meta/{}/meta.json", id.hex()), &meta.to_string());
        for project in [by_host, by_context] {
            // a fake ssh
            project.program("ssh", "touch started; exit 255");
            let path = format!("{}:/usr/bin:/bin", project.path("").display());
            let mut command = project.command(&["inspect", "crew:1", "--log", "trace"]);
            let output = command.env("PATH", path).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            let expected = format!("error: the address of the container engine has a password: {shown}\n  {hint}\n");
            assert!(stderr.ends_with(&expected), "{stderr}");
            assert!(!stderr.contains("canary") && !stderr.contains("can/ary"), "{stderr}");
            assert!(!project.path("started").exists());
        }
    }
}
