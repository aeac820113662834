//! What Eclipse Che's JwtProxy answered, and what a real Envoy answers with the profile jwtproxy.

use rig::driver::Driver;
use rig::recording::Recording;

#[test]
fn every_recorded_answer_through_envoy() {
    let recording = Recording::load();
    let driver = Driver::start(&recording.configs);
    recording.compare("Envoy", |config, fields| driver.outcome(config, fields, b""));
    driver.finish();
}
