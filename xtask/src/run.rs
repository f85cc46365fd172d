//! `cargo xtask run`: from a clone to an answered chat in one command.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::server::{self, Demo, Options, Server};
use crate::services::model::{self, LocalModel};
use crate::workspace::Workspace;
use crate::{http, model_seed, web};

const DEFAULT_PORT: u16 = 8080;

struct Settings {
    port: u16,
    data_dir: PathBuf,
    with_model: bool,
}

pub fn run(workspace: &Workspace, arguments: &[String]) -> Result<()> {
    let settings = read_settings(workspace, arguments)?;
    // Asked before the long build, not after it.
    require_free_port(settings.port)?;
    web::build(workspace)?;
    server::build(workspace, &["cloudfreedom"])?;

    let options = Options {
        port: settings.port,
        data_dir: &settings.data_dir,
        demo: true,
        log: None,
    };
    let mut server = Server::start(workspace, &options)?;
    let demo = server.demo()?;
    // Bound to a name so that the model lives as long as the server.
    let model = if settings.with_model {
        start_model(workspace)?
    } else {
        None
    };
    let api = server.superuser(&demo)?;
    match &model {
        Some(model) => model_seed::add_local_model(&api, &model.base_url())?,
        None => model_seed::switch_off_local_model(&api)?,
    }
    print_welcome(&settings, &demo, model.is_some());

    while !workspace.stop_requested() {
        server.require_running()?;
        std::thread::sleep(Duration::from_millis(200));
    }
    println!(
        "\nEnding the server{} …",
        if model.is_some() {
            " and the model"
        } else {
            ""
        }
    );
    // The server first: it may still have answers of the model to deliver.
    drop(server);
    drop(model);
    Ok(())
}

fn read_settings(workspace: &Workspace, arguments: &[String]) -> Result<Settings> {
    let mut settings = Settings {
        port: DEFAULT_PORT,
        data_dir: workspace.root.join("cf_data"),
        with_model: true,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || {
            rest.next()
                .with_context(|| format!("`{argument}` needs a value"))
        };
        match argument.as_str() {
            "--port" => {
                settings.port = value()?
                    .parse()
                    .context("`--port` needs a number up to 65535")?
            }
            "--data-dir" => settings.data_dir = std::path::absolute(value()?)?,
            "--no-model" => settings.with_model = false,
            other => {
                bail!("unknown argument `{other}`; known: --port N, --data-dir DIR, --no-model")
            }
        }
    }
    Ok(settings)
}

fn require_free_port(port: u16) -> Result<()> {
    match TcpListener::bind(http::loopback(port)) {
        Ok(_) => Ok(()),
        Err(error) => bail!(
            "port {port} cannot be used ({error}); choose another with `cargo xtask run --port N`"
        ),
    }
}

/// A machine without Python or without a way to install the model still gets a working demo.
fn start_model(workspace: &Workspace) -> Result<Option<LocalModel>> {
    match LocalModel::start(workspace) {
        Ok(model) => Ok(Some(model)),
        Err(error) => {
            workspace.check_stop()?;
            eprintln!("xtask: no local model: {error:#}");
            Ok(None)
        }
    }
}

fn print_welcome(settings: &Settings, demo: &Demo, with_model: bool) {
    let port = settings.port;
    let model = if with_model { model::NAME } else { &demo.model };
    let about_model = if with_model {
        "SmolLM2-135M, running on this machine (small: it chats, but it knows little)"
    } else {
        "the built-in DEMO PROVIDER: its answers are canned, there is no AI behind it"
    };
    println!(
        "
CloudFreedom is running. Ctrl-C ends it; the data stays in {data_dir}

  Portal        http://admin.localhost:{port}/   or  http://127.0.0.1:{port}/
  Chat          http://app.localhost:{port}/     or  http://127.0.0.1:{port}/chat
  Billing API   http://billing.localhost:{port}/

  Admin         {admin}   password  {admin_password}
  User          {user}    password  {user_password}
  Superuser     {superuser}   password  {superuser_password}
  API key       {key}
  Billing key   {billing_key}
  Model         {model}: {about_model}

Try it:

  curl http://127.0.0.1:{port}/v1/chat/completions \\
    -H \"Authorization: Bearer {key}\" \\
    -H \"Content-Type: application/json\" \\
    -d '{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello!\"}}]}}'
",
        data_dir = settings.data_dir.display(),
        admin = demo.admin.email,
        admin_password = demo.admin.password,
        user = demo.user.email,
        user_password = demo.user.password,
        superuser = demo.superuser.email,
        superuser_password = demo.superuser.password,
        key = demo.api_key,
        billing_key = demo.billing_api_key,
    );
}
