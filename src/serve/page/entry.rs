//! The pages of directories and files.

use super::parts::{checksum, fact, layout, pager, search_form, size, table, way_to};
use crate::object::{FileHeader, Xattrs};
use crate::serve::html::Html;
use crate::serve::link::{self, Kind};
use crate::serve::view::{Content, FileView, RowKind, TreeRow, TreeView};
use crate::units::format_size;

/// The most digits of an extended attribute that is no text.
const SHOWN_BYTES: usize = 64;

pub(in crate::serve) fn tree(view: &TreeView) -> Html {
    let title = format!("/{}", view.names.join("/"));
    layout(&title, &way_to(&view.commit, &view.names), |html| {
        html.within("h1", &[("class", "path")], |html| html.name(&title));
        html.within("dl", &[("class", "facts")], |html| {
            fact(html, "Entries", |html| html.text(&view.pages.total.to_string()));
            let meta = &view.meta;
            owner(html, meta.mode, meta.uid, meta.gid, &meta.xattrs);
            fact(html, "Dirtree", |html| checksum(html, &view.dirtree));
            fact(html, "Dirmeta", |html| checksum(html, &view.dirmeta));
        });
        search_form(html, &view.commit, "");
        let page = link::at(Kind::Tree, &view.commit, &view.names);
        pager(html, &page, &view.pages);
        let headings = [("", "Name"), ("", "Mode"), ("number", "Size"), ("", "Object")];
        table(html, "Entries", &headings, |html| {
            if let Some((_, parent)) = view.names.split_last() {
                html.within("tr", &[], |html| {
                    html.within("td", &[("class", "path"), ("colspan", "4")], |html| {
                        html.link(&link::at(Kind::Tree, &view.commit, parent), "..");
                    });
                });
            }
            view.rows.iter().for_each(|found| row(html, view, found));
        });
        pager(html, &page, &view.pages);
    })
}

fn row(html: &mut Html, view: &TreeView, found: &TreeRow) {
    let TreeRow { name, checksum: object, kind } = found;
    let mut names = view.names.clone();
    names.push(name.clone());
    let target = |kind| link::at(kind, &view.commit, &names);
    html.within("tr", &[], |html| {
        html.within("th", &[("scope", "row"), ("class", "path")], |html| match kind {
            RowKind::Directory => html.link(&target(Kind::Tree), &format!("{name}/")),
            RowKind::Symlink { target: to } => {
                html.link(&target(Kind::File), name);
                html.within("span", &[("class", "faint")], |html| {
                    html.text(" → ");
                    html.name(to);
                });
            }
            RowKind::File { .. } | RowKind::Unreadable(_) => {
                html.link(&target(Kind::File), name);
            }
        });
        match kind {
            RowKind::Directory => {
                html.element("td", &[], "");
                html.element("td", &[], "");
            }
            RowKind::Symlink { .. } => {
                html.element("td", &[("class", "faint")], "link");
                html.element("td", &[], "");
            }
            RowKind::File { mode, size: bytes } => {
                html.within("td", &[], |html| html.element("code", &[], &bits(*mode)));
                html.within("td", &[("class", "number")], |html| size(html, *bytes));
            }
            RowKind::Unreadable(error) => {
                html.within("td", &[("class", "bad"), ("colspan", "2")], |html| html.name(error));
            }
        }
        html.within("td", &[], |html| checksum(html, object));
    });
}

pub(in crate::serve) fn file(view: &FileView) -> Html {
    let title = format!("/{}", view.names.join("/"));
    let FileHeader { uid, gid, mode, symlink_target, xattrs } = &view.header;
    layout(&title, &way_to(&view.commit, &view.names), |html| {
        html.within("h1", &[("class", "path")], |html| html.name(&title));
        let raw = link::at(Kind::Raw, &view.commit, &view.names);
        if view.content != Content::Symlink {
            html.within("p", &[("class", "actions")], |html| {
                html.within(
                    "a",
                    &[("class", "button"), ("href", &raw), ("download", "")],
                    |html| {
                        html.text(&format!("Download, {}", format_size(view.size)));
                    },
                );
                if matches!(view.content, Content::Text { .. }) {
                    let plain = link::with_query(&raw, &[("as", "text")]);
                    html.within("a", &[("class", "button"), ("href", &plain)], |html| {
                        html.text("Show as plain text");
                    });
                }
            });
        }
        html.within("dl", &[("class", "facts")], |html| {
            if view.content == Content::Symlink {
                fact(html, "Symbolic link to", |html| {
                    html.within("code", &[], |html| html.name(symlink_target));
                });
            } else {
                fact(html, "Size", |html| size(html, view.size));
            }
            owner(html, *mode, *uid, *gid, xattrs);
            fact(html, "Object", |html| {
                html.element("code", &[("class", "whole")], &view.checksum.to_hex());
            });
        });
        match &view.content {
            Content::Symlink => {}
            Content::Binary => {
                html.element("p", &[("class", "faint")], "This file is not text.");
            }
            Content::Text { text, is_whole } => {
                let region = [("class", "content"), ("tabindex", "0"), ("aria-label", "Content")];
                html.element("pre", &region, text);
                if !is_whole {
                    let shown = format_size(text.len() as u64);
                    let note = format!("Only the first {shown} are shown.");
                    html.element("p", &[("class", "faint")], &note);
                }
            }
        }
    })
}

fn owner(html: &mut Html, mode: u32, uid: u32, gid: u32, xattrs: &Xattrs) {
    fact(html, "Mode", |html| html.element("code", &[], &bits(mode)));
    fact(html, "Owner", |html| html.text(&format!("{uid}:{gid}")));
    for (name, value) in xattrs.iter() {
        fact(html, &String::from_utf8_lossy(name), |html| {
            html.within("code", &[], |html| html.name(&attribute(value)));
        });
    }
}

/// Text as it is, without the zero at its end; other bytes as digits.
fn attribute(value: &[u8]) -> String {
    let text = str::from_utf8(value.strip_suffix(b"\0").unwrap_or(value)).ok();
    match text.filter(|text| !text.contains('\0') && text.len() <= 4096) {
        Some(text) => text.to_owned(),
        None => {
            let digits = value.iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02x}"));
            let more = if value.len() > SHOWN_BYTES { "…" } else { "" };
            format!("{}{more}", digits.collect::<String>())
        }
    }
}

fn bits(mode: u32) -> String {
    format!("{:04o}", mode & 0o7777)
}
