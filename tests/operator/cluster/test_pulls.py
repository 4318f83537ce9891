from llmi_operator.cluster.pulls import find_pull


def event(reason, second, message=""):
    return {"reason": reason, "lastTimestamp": f"2026-05-01T12:00:{second:02d}Z", "message": message}


PULLING = event("Pulling", 10, 'Pulling image "a/b:1"')


def test_a_pull_that_has_begun_and_not_ended_is_found():
    pull = find_pull([event("Scheduled", 9), PULLING])
    assert (pull.image, pull.since.second) == ("a/b:1", 10)


def test_a_pull_that_ended_is_none_even_within_the_second_in_which_it_began():
    assert find_pull([PULLING, event("Pulled", 20)]) is None
    assert find_pull([event("Pulled", 10), PULLING]) is None
    assert find_pull([PULLING, event("Failed", 12)]) is None


def test_the_second_of_two_pulls_counts():
    again = event("Pulling", 40, 'Pulling image "c/d:2"')
    assert find_pull([again, PULLING, event("Pulled", 20)]).image == "c/d:2"


def test_no_events_no_pull():
    assert find_pull([]) is None
    assert find_pull([{"reason": "Pulling", "message": "x"}]) is None
