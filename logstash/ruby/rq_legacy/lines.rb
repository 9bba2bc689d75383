# encoding: utf-8
# The bytes of a record → its text. The same as shipper/legacy/lines.py; a test holds the expressions to be equal.

require "json"

module RqLegacy
  module Lines
    GLUED = Regexp.new(<<'TEXT'.strip, Regexp::NOENCODING)
(?<=\S)(?=Time: \d{4}-\d{2}-\d{2} \d{2}:)|(?<=\))(?=\d{2}:\d{2}:\d{2} [^\s:]{1,200}: )
TEXT
    COLORS = /\x1b\[[0-9;]{0,20}m/
    BYTE_ORDER_MARK = "\xEF\xBB\xBF".b
    REPLACEMENT = "\u{FFFD}"
    REDACTED = "[redacted]"
    # Written by `python -m shipper.redact.rules`.
    RULES = JSON.parse(File.read(File.join(__dir__, "redaction.json"), encoding: "UTF-8")).map do |rule|
      [Regexp.new(rule["pattern"]), rule["hints"], rule["luhn"]]
    end.freeze
    LIMIT = 32_768 # characters, as records.shorten

    module_function

    # [where it begins, its bytes] of each record that a line holds: one, but for accidents.
    def apart(start, bytes)
      if bytes.start_with?(BYTE_ORDER_MARK)
        start += BYTE_ORDER_MARK.bytesize
        bytes = bytes.byteslice(BYTE_ORDER_MARK.bytesize..-1)
      end
      cuts = [0]
      at = 0
      while (found = bytes.index(GLUED, at))
        cuts << found
        at = found + 1
      end
      cuts << bytes.bytesize
      cuts.uniq.each_cons(2).map { |from, to| [start + from, bytes.byteslice(from, to - from)] }
          .select { |_, piece| piece.match?(/[^ \t\n\r\v\f]/n) }
    end

    # UTF-8 (what is not becomes U+FFFD), without colours, carriage returns, and secrets.
    def text_of(bytes)
      text = bytes.dup.force_encoding(Encoding::UTF_8).scrub(REPLACEMENT)
      text = rstrip(text)
      text = text.gsub("\r\n", "\n").tr("\r", "\n") if text.include?("\r")
      text = text.gsub(COLORS, "") if text.include?("\e")
      redact(text)
    end

    # Without secrets. As TextRules in shipper/redact/text.py.
    def redact(text)
      small = nil
      RULES.each do |pattern, hints, luhn|
        small ||= text.downcase
        next unless hints.empty? || hints.any? { |hint| small.include?(hint) }
        text = text.gsub(pattern) { |found| luhn && !luhn?(found) ? found : "#{$1}#{REDACTED}" }
        small = nil
      end
      text
    end

    # Luhn's check of a card number (ISO/IEC 7812-1).
    def luhn?(text)
      digits = text.scan(/[0-9]/).map(&:to_i).reverse
      digits.each_with_index.sum { |digit, at| at.even? ? digit : (2 * digit).divmod(10).sum } % 10 == 0
    end

    # As Python's: Ruby's own knows only ASCII's blanks, and takes NUL for one.
    def rstrip(text)
      last = text.rindex(/[^[:space:]\x1c-\x1f]/)
      last ? text[0..last] : ""
    end

    def strip(text)
      first = text.index(/[^[:space:]\x1c-\x1f]/)
      first ? rstrip(text[first..-1]) : ""
    end

    # The text, its middle left out if it is too long.
    def shorten(text)
      return text if text.length <= LIMIT
      half = LIMIT / 2
      "#{text[0, half]}\n… #{text.length - LIMIT} characters left out …\n#{text[-half, half]}"
    end
  end
end
