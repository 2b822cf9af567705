//! The format from outside: what valid files mean, and what is said about broken ones.

mod compiling;
mod demand;
