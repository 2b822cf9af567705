//! The format from outside: what valid files mean, and what is said about broken ones.

mod broken;
mod compiling;
mod demand;
mod files;
mod queue_side;
mod settings;
