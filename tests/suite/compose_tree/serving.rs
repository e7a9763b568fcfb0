//! The repository as clients see it: served by any web server.

use super::world::{REF, World};
use crate::support::{Server, ostree};

#[test]
fn the_real_client_pulls_each_tree_over_http() {
    let Some(ostree) = ostree() else { return };
    let Some((world, first)) = World::composed() else { return };
    let server = Server::start(&world.path(""));
    let client = world.path("client");
    ostree.repo(&client, ["init", "--mode=bare-user-only"]).success();
    let add = ["remote", "add", "--no-gpg-verify", "exampleos"];
    ostree.repo(&client, [&add[..], &[&format!("{}/repo", server.url)]].concat()).success();
    let pull = |expected: &str, payload: &str| {
        ostree.repo(&client, ["pull", "exampleos", REF]).success();
        assert_eq!(
            ostree.repo(&client, ["rev-parse", &format!("exampleos:{REF}")]).line(),
            expected
        );
        let content = ostree.repo(&client, ["cat", expected, "/usr/lib/payload"]).success();
        assert!(content.starts_with(payload), "{content:.20}");
        ostree.repo(&client, ["fsck", "--quiet"]).success();
    };
    pull(&first, "payload 1\n");
    world.change(2);
    world.tree(&[]).success();
    let second = world.public_commit().unwrap();
    pull(&second, "payload 2\n");
    let refs = ostree.repo(&client, ["remote", "refs", "exampleos"]).success();
    assert_eq!(refs, format!("exampleos:{REF}\n"));
    // A failed run changes nothing for clients.
    world.change(3);
    world.tree_with("missing", &[]).failure();
    pull(&second, "payload 2\n");
}
