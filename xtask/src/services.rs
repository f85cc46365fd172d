//! Other programs that the commands install or start.

pub mod apt;
pub mod chromium;
pub mod litellm;
pub mod model;
pub mod nginx;
pub mod postgres;
