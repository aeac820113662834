//! What Eclipse Che's JwtProxy answered, and what a real Envoy answers with the profile jwtproxy.

use rig::driver::Driver;
use rig::recording::Recording;

#[test]
fn every_recorded_answer_through_envoy() {
    let driver = Driver::start(&Recording::load().configs);
    // Its tokens are as old as it is, and to start takes a while.
    let recording = Recording::load();
    recording.compare("Envoy", |config, fields| driver.outcome(config, fields, b""));
    driver.finish();
}
