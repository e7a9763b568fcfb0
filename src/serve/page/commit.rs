//! The page of a commit.

use super::parts::{checksum, commit_link, fact, layout, search_form, short, subject, table, time};
use crate::gvariant::text::{Annotate, print};
use crate::gvariant::{Dict, Value};
use crate::object::key;
use crate::repo::CommitState;
use crate::serve::html::Html;
use crate::serve::link::{self, Kind};
use crate::serve::view::{Brief, CommitView, HistoryEnd};

/// Longer values of metadata are only counted, in bytes.
const SHOWN_VALUE: usize = 4 << 10;

pub(in crate::serve) fn commit(view: &CommitView) -> Html {
    let id = &view.checksum;
    let brief = Brief::of(*id, &view.commit);
    layout(&format!("Commit {}", short(id)), &[(short(id), None)], |html| {
        html.within("h1", &[], |html| subject(html, &brief));
        html.within("p", &[("class", "actions")], |html| {
            html.within("a", &[("class", "button"), ("href", &tree(view))], |html| {
                html.text("Browse the tree");
            });
            if let Some(parent) = &view.commit.parent {
                let target = link::diff(parent, id);
                html.within("a", &[("class", "button"), ("href", &target)], |html| {
                    html.text("Compare with its parent");
                });
            }
        });
        if !view.commit.body.is_empty() {
            html.element("pre", &[("class", "message")], &view.commit.body);
        }
        facts(html, view);
        search_form(html, id, "");
        signatures(html, view);
        metadata(html, view);
        history(html, view);
        compare_form(html, view);
    })
}

fn tree(view: &CommitView) -> String {
    link::at(Kind::Tree, &view.checksum, &[""; 0])
}

fn facts(html: &mut Html, view: &CommitView) {
    let commit = &view.commit;
    html.within("dl", &[("class", "facts")], |html| {
        fact(html, "Commit", |html| {
            html.element("code", &[("class", "whole")], &view.checksum.to_hex());
        });
        fact(html, "Date (UTC)", |html| time(html, commit.timestamp));
        if let Some(parent) = &commit.parent {
            fact(html, "Parent", |html| commit_link(html, parent));
        }
        if !view.refs.is_empty() {
            fact(html, "Refs", |html| {
                for name in &view.refs {
                    html.within("span", &[("class", "label")], |html| html.name(name));
                    html.text(" ");
                }
            });
        }
        fact(html, "Content", |html| checksum(html, &commit.content_checksum()));
        match view.state {
            CommitState::Complete => {}
            CommitState::Partial => fact(html, "State", |html| {
                html.element("span", &[("class", "bad")], "partial: objects may be missing");
            }),
            CommitState::PartialFsck => fact(html, "State", |html| {
                html.element("span", &[("class", "bad")], "fsck found it damaged");
            }),
        }
    });
}

fn signatures(html: &mut Html, view: &CommitView) {
    html.element("h2", &[], "Signatures");
    if view.signatures.is_empty() {
        html.element("p", &[("class", "faint")], "This commit is not signed.");
    }
    html.within("ul", &[("class", "plain")], |html| {
        for signature in &view.signatures {
            let (class, verdict) = match signature.is_valid {
                Some(true) => ("good", "valid"),
                Some(false) => ("bad", "not valid"),
                None => ("faint", "unknown"),
            };
            html.within("li", &[], |html| {
                html.element("span", &[("class", "label")], signature.kind);
                html.text(" ");
                html.element("strong", &[("class", class)], verdict);
                html.element("pre", &[("class", "signature")], &signature.text);
            });
        }
    });
}

fn metadata(html: &mut Html, view: &CommitView) {
    html.element("h2", &[], "Metadata");
    let dict: &Dict = &view.commit.metadata;
    if dict.is_empty() {
        html.element("p", &[("class", "faint")], "There is none.");
    } else {
        table(html, "Metadata", &[("", "Key"), ("", "Value")], |html| {
            for (name, value) in dict.iter() {
                html.within("tr", &[], |html| {
                    html.within("th", &[("scope", "row"), ("class", "path")], |html| {
                        html.name(name);
                    });
                    html.within("td", &[("class", "value")], |html| html.name(&text(name, value)));
                });
            }
        });
    }
    if !view.detached_keys.is_empty() {
        html.within("p", &[], |html| {
            html.text("Detached metadata: ");
            for name in &view.detached_keys {
                html.within("span", &[("class", "label")], |html| html.name(name));
                html.text(" ");
            }
        });
    }
}

/// Numbers in metadata are big-endian.
fn text(name: &str, value: &Value) -> String {
    let length = value.bytes().len();
    if length > SHOWN_VALUE || name == key::SIZES {
        return format!("{length} bytes of type {}", value.type_string());
    }
    match value.view().as_str() {
        Some(text) => text.to_owned(),
        None => print(value.view().byteswapped().view(), Annotate::No),
    }
}

fn history(html: &mut Html, view: &CommitView) {
    html.element("h2", &[], "History");
    if !view.history.is_empty() {
        let headings = [("", "Commit"), ("", "Subject"), ("", "Date (UTC)"), ("", "")];
        table(html, "History", &headings, |html| {
            for brief in &view.history {
                html.within("tr", &[], |html| {
                    html.within("td", &[], |html| commit_link(html, &brief.checksum));
                    html.within("td", &[("class", "text")], |html| subject(html, brief));
                    html.within("td", &[], |html| time(html, brief.timestamp));
                    html.within("td", &[], |html| {
                        let target = link::diff(&brief.checksum, &view.checksum);
                        html.link(&target, "compare");
                    });
                });
            }
        });
    }
    html.within("p", &[("class", "faint")], |html| match &view.end {
        HistoryEnd::Beginning if view.history.is_empty() => html.text("It is the first commit."),
        HistoryEnd::Beginning => html.text("The last of these is the first commit."),
        HistoryEnd::More(next) => html.link(&link::commit(next), "Older commits"),
        HistoryEnd::Missing(missing) => {
            html.text("The repository does not have the commit before these: ");
            checksum(html, missing);
        }
    });
}

fn compare_form(html: &mut Html, view: &CommitView) {
    html.element("h2", &[], "Compare");
    html.within("form", &[("action", "/-/diff"), ("method", "get")], |html| {
        html.void(
            "input",
            &[("type", "hidden"), ("name", "to"), ("value", &view.checksum.to_hex())],
        );
        html.element("label", &[("for", "from")], "From the commit or ref");
        let from = view.commit.parent.as_ref().map(|parent| parent.to_hex()).unwrap_or_default();
        html.void(
            "input",
            &[
                ("id", "from"),
                ("name", "from"),
                ("required", ""),
                ("autocapitalize", "none"),
                ("spellcheck", "false"),
                ("value", &from),
            ],
        );
        html.element("button", &[("type", "submit")], "Compare");
    });
}
