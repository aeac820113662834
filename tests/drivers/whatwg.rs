//! Where a browser goes: URLs as browsers read them (WHATWG), by a parser that is none of ours.

use url::Url;

/// Whether both have one origin. A star stands for the first label of a host.
fn is_home(home: &Url, target: &Url) -> bool {
    let parent = home.host_str().and_then(|host| host.strip_prefix("*."));
    let behind_label = target.host_str().and_then(|host| host.split_once('.'));
    let behind_label = behind_label.filter(|(label, _)| !label.is_empty()).map(|(_, parent)| parent);
    home.origin() == target.origin()
        || parent.is_some()
            && parent == behind_label
            && (home.scheme(), home.port_or_known_default())
                == (target.scheme(), target.port_or_known_default())
}

/// Fails if a browser that shows `page` would be led away by this `Location` from it and from `allowed` origins.
pub fn stays(page: &Url, location: &str, allowed: &[&str]) -> Result<(), String> {
    if !location.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("no text of a header: {location:?}"));
    }
    let target = page.join(location).map_err(|error| format!("{location:?} leads nowhere: {error}"))?;
    let allowed = allowed.iter().filter_map(|origin| Url::parse(origin).ok());
    let at_home = [page.clone()].into_iter().chain(allowed).any(|home| is_home(&home, &target));
    let names_nobody = target.username().is_empty() && target.password().is_none();
    if at_home && (names_nobody || !page.username().is_empty()) {
        Ok(())
    } else {
        Err(format!("{location:?} leads to {target}"))
    }
}
