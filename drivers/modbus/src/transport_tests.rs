//! The wire against a peer of a few lines that answers what and when the test says. Time is virtual.

use super::*;
use crate::address::Area;
use proptest::prelude::*;
use tokio::io::{DuplexStream, duplex};

impl Stream for DuplexStream {}

const WAIT: Duration = Duration::from_millis(500);
const ASK: Request = Request::Read { area: Area::Holding, start: 0, count: 1 };

fn channel(transport: Transport) -> ChannelConfig {
    ChannelConfig { transport, ..ChannelConfig::default() }
}

fn serial() -> ChannelConfig {
    channel(Transport::Serial(SerialSettings::default()))
}

fn wire(channel: &ChannelConfig) -> (Wire, DuplexStream) {
    let (near, far) = duplex(4_096);
    (Wire::new(Box::new(near), channel), far)
}

/// The next question as it lies on the wire; 12 bytes over TCP, 8 on a line.
async fn question<const N: usize>(far: &mut DuplexStream) -> [u8; N] {
    let mut bytes = [0; N];
    far.read_exact(&mut bytes).await.unwrap();
    bytes
}

fn words(value: u16) -> [u8; 4] {
    let [high, low] = value.to_be_bytes();
    [3, 2, high, low]
}

#[tokio::test(start_paused = true)]
async fn over_tcp_a_late_answer_is_dropped_and_the_connection_goes_on() {
    let (mut wire, mut far) = wire(&channel(Transport::Tcp));
    let peer = tokio::spawn(async move {
        let first: [u8; 12] = question(&mut far).await;
        let second: [u8; 12] = question(&mut far).await;
        // The answer to the first comes when the second is asked, then its own.
        far.write_all(&tcp_frame(u16::from_be_bytes([first[0], first[1]]), 1, &words(111))).await.unwrap();
        far.write_all(&tcp_frame(u16::from_be_bytes([second[0], second[1]]), 2, &words(222))).await.unwrap();
        far
    });
    assert!(matches!(wire.call(1, &ASK, WAIT).await, Err(CallError::Silent(_))));
    assert!(wire.is_alive() && !wire.is_clean());
    assert_eq!(wire.call(2, &ASK, WAIT).await, Ok(Answer::Words(vec![222])));
    assert!(wire.is_clean());
    assert_eq!(wire.late, 1);
    peer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn over_tcp_another_unit_and_another_function_are_no_answer() {
    let cases: [(u8, &[u8]); 2] = [(9, &[3, 2, 0, 7]), (1, &[4, 2, 0, 7])];
    for (unit, pdu) in cases {
        let (mut wire, mut far) = wire(&channel(Transport::Tcp));
        let answer = tokio::spawn(async move {
            let asked: [u8; 12] = question(&mut far).await;
            far.write_all(&tcp_frame(u16::from_be_bytes([asked[0], asked[1]]), unit, pdu)).await.unwrap();
            far
        });
        assert!(matches!(wire.call(1, &ASK, WAIT).await, Err(CallError::Damaged(_))), "{unit} {pdu:?}");
        assert!(wire.is_alive());
        answer.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_gateways_own_words_are_told_from_the_devices() {
    for (code, gateway) in [(2, false), (4, false), (10, true), (11, true)] {
        let (mut wire, mut far) = wire(&serial());
        let answer = tokio::spawn(async move {
            let _: [u8; 8] = question(&mut far).await;
            far.write_all(&rtu_frame(1, &[0x83, code])).await.unwrap();
            far
        });
        let expected = if gateway { CallError::Unreachable(code) } else { CallError::Refused(code) };
        assert_eq!(wire.call(1, &ASK, WAIT).await, Err(expected));
        assert!(wire.is_clean());
        answer.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn on_a_line_a_late_answer_never_becomes_a_value() {
    // While the line is listened to before the next question, and after that has gone out.
    for late_ms in [1, 40, 80, 99, 120, 300, 500] {
        let (mut wire, mut far) = wire(&serial());
        let peer = tokio::spawn(async move {
            let asked: [u8; 8] = question(&mut far).await;
            sleep(WAIT + Duration::from_millis(late_ms + 15)).await;
            far.write_all(&rtu_frame(1, &words(111))).await.unwrap();
            let other: [u8; 8] = question(&mut far).await;
            assert_ne!(asked, other, "another number of registers is asked for first");
            far.write_all(&rtu_frame(1, &[3, 4, 0, 222, 0, 0])).await.unwrap();
            let again: [u8; 8] = question(&mut far).await;
            assert_eq!(asked, again);
            far.write_all(&rtu_frame(1, &words(222))).await.unwrap();
            far
        });
        assert!(matches!(wire.call(1, &ASK, WAIT).await, Err(CallError::Silent(_))), "{late_ms}");
        assert_eq!(wire.call(1, &ASK, WAIT).await, Ok(Answer::Words(vec![222])), "{late_ms}");
        peer.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn on_a_line_frames_of_others_and_of_other_questions_are_dropped() {
    let (mut wire, mut far) = wire(&serial());
    let peer = tokio::spawn(async move {
        let _: [u8; 8] = question(&mut far).await;
        far.write_all(&rtu_frame(7, &words(111))).await.unwrap();
        far.write_all(&rtu_frame(1, &[3, 4, 0, 1, 0, 2])).await.unwrap();
        far.write_all(&rtu_frame(1, &[4, 2, 0, 111])).await.unwrap();
        far.write_all(&rtu_frame(1, &words(222))).await.unwrap();
        far
    });
    assert_eq!(wire.call(1, &ASK, WAIT).await, Ok(Answer::Words(vec![222])));
    assert_eq!(wire.late, 3);
    peer.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn on_a_line_broken_frames_are_damage_and_the_next_question_is_clean() {
    let mut bad_sum = rtu_frame(1, &words(111));
    bad_sum[5] ^= 1;
    let good = rtu_frame(1, &words(111));
    let noise_before = [&[0x55, 0x41, 0x00][..], &good].concat();
    let half = good[..4].to_vec();
    for wrong in [bad_sum, noise_before, half] {
        let (mut wire, mut far) = wire(&serial());
        let sent = wrong.clone();
        let peer = tokio::spawn(async move {
            let _: [u8; 8] = question(&mut far).await;
            far.write_all(&sent).await.unwrap();
            let _: [u8; 8] = question(&mut far).await;
            far.write_all(&rtu_frame(1, &[3, 4, 0, 222, 0, 0])).await.unwrap();
            let _: [u8; 8] = question(&mut far).await;
            far.write_all(&rtu_frame(1, &words(222))).await.unwrap();
            far
        });
        assert!(matches!(wire.call(1, &ASK, WAIT).await, Err(CallError::Damaged(_))), "{wrong:02x?}");
        assert_eq!(wire.call(1, &ASK, WAIT).await, Ok(Answer::Words(vec![222])), "{wrong:02x?}");
        peer.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn our_own_bytes_coming_back_are_taken_off_or_named() {
    let echoing = SerialSettings { echo: true, ..SerialSettings::default() };
    for (settings, expected) in [(echoing, true), (SerialSettings::default(), false)] {
        for request in [ASK, Request::WriteWords { at: 3, words: vec![7], plural: false }] {
            let (mut wire, mut far) = wire(&channel(Transport::Serial(settings)));
            let pdu = if request.writes() { request.bytes() } else { words(222).to_vec() };
            let peer = tokio::spawn(async move {
                let asked: [u8; 8] = question(&mut far).await;
                far.write_all(&asked).await.unwrap();
                sleep(Duration::from_millis(5)).await;
                far.write_all(&rtu_frame(1, &pdu)).await.unwrap();
                far
            });
            let result = wire.call(1, &request, WAIT).await;
            match (expected, request.writes()) {
                (true, true) => assert_eq!(result, Ok(Answer::Written)),
                (true, false) => assert_eq!(result, Ok(Answer::Words(vec![222]))),
                // A confirmation of function 6 is the question itself: nothing tells them apart.
                (false, true) => {}
                (false, false) => {
                    assert!(
                        matches!(&result, Err(CallError::Damaged(why)) if why.contains("echo: true")),
                        "{result:?}"
                    );
                }
            }
            peer.await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_given_up_half_way_leaves_no_answer_behind() {
    let (mut line, mut far) = wire(&serial());
    let peer = tokio::spawn(async move {
        let _: [u8; 8] = question(&mut far).await;
        sleep(Duration::from_millis(50)).await;
        far.write_all(&rtu_frame(1, &words(111))).await.unwrap();
        let _: [u8; 8] = question(&mut far).await;
        far.write_all(&rtu_frame(1, &[0x83, 2])).await.unwrap();
        let _: [u8; 8] = question(&mut far).await;
        far.write_all(&rtu_frame(1, &words(222))).await.unwrap();
        far
    });
    assert!(timeout(Duration::from_millis(30), line.call(1, &ASK, WAIT)).await.is_err());
    assert_eq!(line.call(1, &ASK, WAIT).await, Ok(Answer::Words(vec![222])));
    peer.await.unwrap();
    let (mut tcp, _far) = wire(&channel(Transport::Tcp));
    assert!(timeout(Duration::from_millis(30), tcp.call(1, &ASK, WAIT)).await.is_err());
    assert!(matches!(tcp.call(1, &ASK, WAIT).await, Err(CallError::Lost(_))));
}

#[tokio::test(start_paused = true)]
async fn a_line_on_which_something_chatters_is_said_to() {
    let (mut wire, mut far) = wire(&serial());
    wire.unclean = true;
    let peer = tokio::spawn(async move {
        while far.write_all(&[0x55]).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    });
    let result = wire.call(1, &ASK, WAIT).await;
    assert!(matches!(&result, Err(CallError::Damaged(why)) if why.contains("never silent")), "{result:?}");
    drop(wire);
    peer.await.unwrap();
}

/// What comes of a question when the peer answers with these bytes.
fn answered_with(transport: Transport, bytes: Vec<u8>) -> Result<Answer, CallError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async move {
        let (mut wire, mut far) = wire(&channel(transport));
        let peer = tokio::spawn(async move {
            let mut asked = [0; 12];
            let _ = far.read(&mut asked).await;
            let _ = far.write_all(&bytes).await;
            far
        });
        let result = wire.call(1, &ASK, WAIT).await;
        peer.await.unwrap();
        result
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Garbage in: no panic, no hang, no value.
    #[test]
    fn garbage_is_never_a_value(bytes in proptest::collection::vec(any::<u8>(), 0..400), line: bool) {
        let transport = if line { Transport::Serial(SerialSettings::default()) } else { Transport::Tcp };
        prop_assert!(!matches!(answered_with(transport, bytes), Ok(Answer::Words(_))));
    }

    /// A right answer with one byte changed is never a value on a line.
    #[test]
    fn a_changed_byte_is_never_a_value(at in 0_usize..7, by in 1_u8..) {
        let mut bytes = rtu_frame(1, &words(111));
        bytes[at] ^= by;
        let result = answered_with(Transport::Serial(SerialSettings::default()), bytes);
        prop_assert!(result.is_err(), "{result:?}");
    }
}
