//! The page of a search.

use super::parts::{layout, search_form, short};
use crate::serve::html::Html;
use crate::serve::link::{self, Kind};
use crate::serve::view::SearchView;

pub(in crate::serve) fn search(view: &SearchView) -> Html {
    let commit = &view.commit;
    let way = [(short(commit), Some(link::commit(commit))), ("Search".to_owned(), None)];
    layout("Search", &way, |html| {
        html.element("h1", &[], "Search");
        search_form(html, commit, &view.wanted);
        if view.wanted.is_empty() {
            html.within("p", &[("class", "faint")], |html| {
                html.text("A text is looked for in whole paths. With * and ? it is a pattern for ");
                html.text("names, or for whole paths if it has a slash.");
            });
            return;
        }
        html.within("ul", &[("class", "plain paths")], |html| {
            for hit in &view.hits {
                let kind = if hit.is_directory { Kind::Tree } else { Kind::File };
                let target = link::at(kind, commit, &link::names(&hit.path));
                let end = if hit.is_directory { "/" } else { "" };
                html.within("li", &[("class", "path")], |html| {
                    html.link(&target, &format!("{}{end}", hit.path));
                });
            }
        });
        html.within("p", &[("class", "faint"), ("role", "status")], |html| {
            let (hits, seen) = (view.hits.len(), view.seen);
            html.text(&format!("{hits} found among {seen} paths."));
        });
        if let Some(next) = &view.next {
            let page = link::at(Kind::Search, commit, &[""; 0]);
            let target = link::with_query(&page, &[("path", &view.wanted), ("after", next)]);
            html.within("p", &[], |html| {
                html.within("a", &[("class", "button"), ("href", &target)], |html| {
                    html.text("Go on searching");
                });
            });
        }
    })
}
