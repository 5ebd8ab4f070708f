package kafka

import "fmt"

// maxTopic is the length of the longest name of a topic.
const maxTopic = 249

func isTopicByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

// CheckTopic tells what is wrong with the name of a topic.
func CheckTopic(topic string) error {
	if topic == "" || topic == "." || topic == ".." || len(topic) > maxTopic {
		return fmt.Errorf("%q is no name of a topic: it is not . or .., and has 1 to %d characters", topic, maxTopic)
	}
	for _, c := range []byte(topic) {
		if !isTopicByte(c) {
			return fmt.Errorf("%q has %q: a topic has letters, digits, dots, underlines and dashes", topic, c)
		}
	}
	return nil
}

// MakeTopic makes the name of a topic of dst from start on: what no name may have becomes an underline.
func MakeTopic(dst []byte, start int) []byte {
	dst = dst[:min(len(dst), start+maxTopic)]
	for i, c := range dst[start:] {
		if !isTopicByte(c) {
			dst[start+i] = '_'
		}
	}
	switch string(dst[start:]) {
	case "", ".", "..":
		return append(dst[:start], '_')
	}
	return dst
}
