//! The other ways to publish the image that `docs/istio.md` names.

use super::{plugin, pulled};
use crate::agent::Pod;
use crate::registry::{Registry, copy};
use crate::report::{Report, ensure};
use crate::world::{World, guarded};

pub(super) fn run(world: &World, pod: &Pod, port: u16, registry: &Registry, report: &mut Report) {
    for program in ["crane", "skopeo"] {
        report.scenario(&format!("dist/image, published by {program}"), || {
            let (layout, digest) = registry.layout()?;
            let name = format!("{}/by-{program}/jwtproxy:0.1.0", registry.host());
            let said = copy(program, &layout, &name)?;
            ensure(program == "skopeo" || said.contains(&digest), || {
                format!("it wrote another digest: {said}")
            })?;
            // A registry, or one of these programs, that changed a byte of it would be found out here.
            let resources = plugin(world, &format!("oci://{name}"), Some(&digest));
            world.cluster.apply(&resources);
            let agent = world.agent(pod);
            let took = guarded(port)?;
            let counted = pulled(&agent)?;
            world.cluster.delete(&resources);
            Ok(format!(
                "the digest is the one that envoy/image.py printed; guarded {} ms after the start; {counted}",
                took.as_millis()
            ))
        });
    }
}
