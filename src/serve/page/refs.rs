//! The first page: all refs.

use super::parts::{commit_link, fact, layout, pager, subject, table, time};
use crate::serve::html::Html;
use crate::serve::link;
use crate::serve::view::{RefRow, RefsView};

pub(in crate::serve) fn refs(view: &RefsView) -> Html {
    layout("Refs", &[], |html| {
        html.element("h1", &[], "Refs");
        html.within("dl", &[("class", "facts")], |html| {
            fact(html, "Mode", |html| html.text(view.mode.as_str()));
            if let Some(collection) = &view.collection {
                fact(html, "Collection", |html| html.name(collection));
            }
            fact(html, "Refs", |html| html.text(&view.pages.total.to_string()));
            fact(html, "Summary", |html| match view.has_summary {
                true => html.link("/summary", "published"),
                false => html.text("none"),
            });
        });
        if view.refs.is_empty() {
            html.element("p", &[("class", "faint")], "There are no refs.");
            return;
        }
        let headings = [("", "Ref"), ("", "Subject"), ("", "Date (UTC)"), ("", "Commit")];
        table(html, "Refs", &headings, |html| view.refs.iter().for_each(|found| row(html, found)));
        pager(html, "/", &view.pages);
    })
}

fn row(html: &mut Html, found: &RefRow) {
    let RefRow { name, commit, brief } = found;
    html.within("tr", &[], |html| {
        html.within("th", &[("scope", "row"), ("class", "path")], |html| {
            html.link(&link::commit(commit), name);
        });
        match brief {
            Ok(brief) => {
                html.within("td", &[("class", "text")], |html| subject(html, brief));
                html.within("td", &[], |html| time(html, brief.timestamp));
            }
            Err(error) => {
                html.within("td", &[("class", "bad"), ("colspan", "2")], |html| html.name(error));
            }
        }
        html.within("td", &[], |html| commit_link(html, commit));
    });
}
