//! Every rule of the record engine, on SQLite and PostgreSQL.

mod access;
mod changes;
mod descriptors;
mod filters;
mod lists;
mod realtime;
mod world;
mod writes;
