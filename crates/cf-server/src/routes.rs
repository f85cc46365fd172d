//! All routes, grouped by component.

mod auth;
mod billing;
mod billing_keys;
mod budgets;
mod chat;
mod collections;
mod exchange_rates;
mod export;
mod forecasts;
mod health;
mod info;
mod keys;
mod messages;
mod notifications;
mod prices;
mod prompts;
mod provider_keys;
mod realtime;
mod records;
mod responses;
mod setup;
mod statements;
mod tasks;
mod usage;
mod users;
mod who;

pub use export::EXPORTS;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{any as any_method, get, post};
use cf_base::{Error, Kind};
use cf_collections::RecordError;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Role;
use crate::error::{CoreError, RouterError};
use crate::{App, openapi, web};

/// `api.`: records, sign-in, realtime.
pub fn core(app: &App) -> Router {
    finish(core_api().route("/health", get(health::core)), app).fallback(not_found)
}

/// `admin.`: the web application with the calls it makes; its chat calls the router.
pub fn portal(app: &App) -> Router {
    let mut routes = core_api()
        .merge(portal_api())
        .route("/health", get(health::portal));
    if app.config.roles.contains(&Role::Router) {
        routes = routes.merge(router_api());
    }
    finish(routes, app).fallback(page)
}

/// `billing.`: budgets and usage for other programs.
pub fn billing(app: &App) -> Router {
    let routes = Router::new()
        .merge(billing_api())
        .route("/api/openapi.json", get(openapi::serve))
        .route("/health", get(health::billing));
    finish(routes, app).fallback(not_found)
}

/// A tenant's host: the router, and the chat with the calls it makes.
pub fn tenant(app: &App) -> Router {
    let routes = router_api()
        .merge(core_api())
        .route("/health", get(health::router));
    finish(routes, app).fallback(page)
}

/// Any other host: everything by path, as far as it runs here.
pub fn any(app: &App) -> Router {
    let runs = |role| app.config.roles.contains(&role);
    let mut routes = Router::new().route("/health", get(health::all));
    if runs(Role::Core) || runs(Role::Portal) {
        routes = routes.merge(core_api());
    }
    if runs(Role::Billing) {
        routes = routes.merge(billing_api());
        if !runs(Role::Core) && !runs(Role::Portal) {
            routes = routes.route("/api/openapi.json", get(openapi::serve));
        }
    } else if runs(Role::Portal) {
        routes = routes.merge(portal_api());
    }
    if runs(Role::Router) {
        routes = routes.merge(router_api());
    }
    let routes = finish(routes, app);
    if runs(Role::Portal) || runs(Role::Router) {
        routes.fallback(page)
    } else {
        routes.fallback(not_found)
    }
}

fn core_api() -> Router<App> {
    Router::new()
        .merge(server_api())
        .route("/api/openapi.json", get(openapi::serve))
        .route(
            "/api/collections/{collection}/records",
            get(records::list).post(records::create),
        )
        .route(
            "/api/collections/{collection}/records/{id}",
            get(records::view)
                .patch(records::update)
                .delete(records::delete),
        )
        .route(
            "/api/collections/{collection}/auth-methods",
            get(auth::methods),
        )
        .route(
            "/api/collections/{collection}/auth-with-password",
            post(auth::with_password),
        )
        .route(
            "/api/collections/{collection}/auth-refresh",
            post(auth::refresh),
        )
        .route("/api/collections", get(collections::list))
        .route("/api/collections/{collection}", get(collections::view))
        .route(
            "/api/realtime",
            get(realtime::connect).post(realtime::subscribe),
        )
        .merge(keys_api())
        .merge(messages_api())
        .merge(provider_keys_api())
}

/// Health, set-up and what the web part needs to know.
fn server_api() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health::pocketbase))
        .routes(routes!(info::info))
        .routes(routes!(setup::setup))
        .routes(routes!(info::providers))
}

/// Notifications, and what administrators do with outbox and webhooks.
fn messages_api() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(notifications::read_all))
        .routes(routes!(messages::status))
        .routes(routes!(messages::try_mail))
        .routes(routes!(messages::resend))
        .routes(routes!(messages::test_webhook))
}

/// What administrators do with provider keys.
fn provider_keys_api() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(provider_keys::test))
        .routes(routes!(provider_keys::usage))
}

/// Users' keys, for themselves and those who manage them.
fn keys_api() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(keys::create))
        .routes(routes!(keys::revoke))
        .routes(routes!(keys::rotate))
}

/// What portal and Billing API share.
fn portal_api() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(budgets::view, budgets::set))
        .routes(routes!(budgets::history))
        .routes(routes!(budgets::increase))
        .routes(routes!(budgets::end_increase))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::view, users::update))
        .routes(routes!(users::reset_budget))
        .routes(routes!(users::top_up))
        .routes(routes!(usage::list))
        .routes(routes!(usage::summary))
        .routes(routes!(prompts::read))
        .routes(routes!(export::export))
        .routes(routes!(statements::list))
        .routes(routes!(statements::view))
        .routes(routes!(billing_keys::list, billing_keys::create))
        .routes(routes!(billing_keys::revoke))
        .routes(routes!(exchange_rates::status))
        .routes(routes!(prices::book))
        .routes(routes!(prices::import))
        .routes(routes!(forecasts::list))
}

fn billing_api() -> OpenApiRouter<App> {
    portal_api()
        .routes(routes!(billing::check_budget))
        .routes(routes!(billing::release))
        .routes(routes!(billing::log_usage))
}

/// The document of what is ours; the same at every host.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = OpenApiRouter::with_openapi(openapi::description())
        .merge(billing_api())
        .merge(keys_api())
        .merge(messages_api())
        .merge(provider_keys_api())
        .merge(server_api())
        .merge(models_api())
        // Served by `router_api`, with slashes in the name.
        .routes(routes!(tasks::model))
        .routes(routes!(health::billing))
        .into_openapi();
    openapi::router::complete(&mut document);
    document
}

/// What is asked of models.
fn models_api() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(chat::completions))
        .routes(routes!(chat::legacy))
        .routes(routes!(chat::messages))
        .routes(routes!(responses::create))
        .routes(routes!(responses::view, responses::delete))
        .routes(routes!(responses::input_items))
        .routes(routes!(responses::cancel))
        .routes(routes!(tasks::count_tokens))
        .routes(routes!(tasks::models))
        .routes(routes!(tasks::embeddings))
        .routes(routes!(tasks::images))
        .routes(routes!(tasks::image_edits))
        .routes(routes!(tasks::transcriptions))
        .routes(routes!(tasks::translations))
        .routes(routes!(tasks::speech))
        .routes(routes!(tasks::moderations))
        .routes(routes!(tasks::rerank))
}

fn router_api() -> Router<App> {
    Router::new()
        .merge(models_api())
        .route("/v1/models/{*model}", get(tasks::model))
        .route("/v1/{*rest}", any_method(no_such_endpoint))
}

fn finish(routes: Router<App>, app: &App) -> Router {
    // Wrong method on a known path is 404 too, as PocketBase answers it.
    routes
        .method_not_allowed_fallback(not_found)
        .with_state(app.clone())
}

async fn not_found() -> CoreError {
    RecordError::new(404, "The requested resource wasn't found.").into()
}

/// A page or file of the web part; API paths that do not exist are errors.
async fn page(request: Request) -> Response {
    use axum::response::IntoResponse as _;
    let path = request.uri().path();
    let reads = request.method().is_safe();
    if !reads || path.starts_with("/api/") || path == "/api" || path.starts_with("/v1") {
        return not_found().await.into_response();
    }
    web::serve(request.uri().clone(), request.headers().clone()).await
}

async fn no_such_endpoint(request: Request) -> RouterError {
    Error::new(
        Kind::NotFound,
        format!(
            "Unknown request URL: {} {}. docs/api.md lists what this version answers.",
            request.method(),
            request.uri().path()
        ),
    )
    .into()
}
