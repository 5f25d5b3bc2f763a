"""Malformed requests are refused or made whole, never passed on; odd ones pass; what was cut never looks complete."""
import collections
import http.client
import unittest

import http1_corpus
from agents import agent_before
from harness import Scenario
from strict_origin import StrictOrigin, Unfinished, Unsafe, read_request
from verdicts import Verdicts

SETTINGS = 'head_timeout: 250ms, body_timeout: 250ms'


class Requests(Scenario):
    def setUp(self):
        self.origin = StrictOrigin()
        self.addCleanup(self.origin.stop)
        self.agent = agent_before(self, self.origin, listener=SETTINGS)

    def test_nothing_malformed_reaches_the_endpoint(self):
        verdicts = Verdicts(self.agent.port, self.origin, http1_corpus.MALFORMED)
        self.assertEqual(verdicts.unsafe, [])
        self.assertEqual((verdicts.passed, verdicts.unanswered), ([], []), str(verdicts))

    def test_what_is_only_odd_passes(self):
        verdicts = Verdicts(self.agent.port, self.origin, http1_corpus.ODD)
        self.assertEqual(verdicts.unsafe, [])
        # Chunk extensions: nobody uses them, and readers disagree on where they end (docs/life-of-a-request.md).
        self.assertEqual(verdicts.rejected, ['chunk: extension'], str(verdicts))
        self.assertEqual(verdicts.unanswered, [])

    def test_an_unfinished_request_is_never_whole_behind(self):
        verdicts = Verdicts(self.agent.port, self.origin, http1_corpus.UNFINISHED, end=True)
        self.assertEqual((verdicts.unsafe, verdicts.passed), ([], []), str(verdicts))
        verdicts = Verdicts(self.agent.port, self.origin, http1_corpus.UNFINISHED)
        self.assertEqual((verdicts.unsafe, verdicts.passed), ([], []), str(verdicts))


class Answers(Scenario):
    def setUp(self):
        self.origin = self.raw_origin(b'')
        self.agent = agent_before(self, self.origin, policy='retry: {attempts: 1}, breaker: {enabled: false}, outlier: {enabled: false}')

    def asked(self, answer):
        """What a library's client makes of it: the status, or how it failed."""
        self.origin.answer = answer
        connection = http.client.HTTPConnection('127.0.0.1', self.agent.port, timeout=5)
        try:
            connection.request('GET', '/')
            response = connection.getresponse()
            response.read()
            return response.status
        except (http.client.HTTPException, OSError) as error:
            return type(error).__name__
        finally:
            connection.close()

    def test_a_cut_answer_never_looks_complete(self):
        for name, answer in http1_corpus.CUT_ANSWERS:
            with self.subTest(name):
                self.assertIn(self.asked(answer), (502, 'IncompleteRead', 'ConnectionResetError', 'RemoteDisconnected'))

    def test_what_is_no_answer_is_a_502(self):
        for name, answer in http1_corpus.BAD_ANSWERS:
            with self.subTest(name):
                self.assertEqual(self.asked(answer), 502)

    def test_a_whole_answer_is_a_200(self):
        self.assertEqual(self.asked(http1_corpus.OK + b'Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n'), 200)


class TheJudge(unittest.TestCase):
    """The judge must be able to condemn."""

    def test_it_finds_what_it_looks_for(self):
        finds = collections.Counter()
        for _, sent in http1_corpus.MALFORMED:
            try:
                read_request(sent)
                finds['taken'] += 1
            except Unsafe:
                finds['unsafe'] += 1
            except Unfinished:
                finds['unfinished'] += 1
        self.assertGreater(finds['unsafe'], 130, finds)

    def test_it_takes_what_is_good(self):
        request, used = read_request(b'POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\nrest')
        self.assertEqual((request, used), ((b'POST', b'/x', b'abc'), 76))


if __name__ == '__main__':
    unittest.main()
