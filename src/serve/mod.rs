//! A repository over HTTP: its files for pulls, and pages to look at it.
//!
//! [`Site`] turns requests into answers, for [`crate::http::server::Server`]. Nothing is written,
//! and no path leads out of the repository.
//!
//! ```text
//! published   which files of a repository pulls fetch, no I/O
//! route       what a URL asks for, no I/O
//! host        which names the server answers to, no I/O
//! link        URLs of pages, no I/O
//! html        markup in which every text is escaped, no I/O
//! view        what a page says
//! load/       reads that from the repository
//! page/       the views as HTML, no I/O
//! document    the views as JSON, no I/O
//! files       the files for pulls
//! site        which of these answers a request
//! ```

mod document;
mod failure;
mod files;
mod host;
mod html;
mod link;
mod load;
mod page;
mod published;
mod route;
mod site;
mod view;

pub use site::{ServeOptions, Site};
