# encoding: utf-8
# When a line was written. The same rule as shipper/legacy/dates.py. Moments are microseconds since 1970, days are days.

require "java"

module RqLegacy
  module Dates
    java_import "java.time.LocalDate"
    java_import "java.time.LocalDateTime"
    java_import "java.time.ZoneId"
    java_import "java.time.ZoneOffset"

    class Wrong < StandardError; end # the 30th of February, a zone of 99 hours

    MONTHS = %w[Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec].freeze
    SECOND = 1_000_000
    DAY = 86_400 * SECOND
    AHEAD = 60 * SECOND # by which a line may be ahead of its file's last change
    COPIED = 2 * DAY
    NAMED_DATE = /(?<!\d)(\d{4})[-_.]?(\d{2})[-_.]?(\d{2})(?!\d)/
    ISO = /\A(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9})\d*)? ?(Z|[+-]\d\d(?::?\d\d)?)?)?\z/
    STAMP = /\A(\d{4}[-\/]\d{2}[-\/]\d{2})[T :]((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:[.,](\d{1,9}))?(?: ?(Z|UTC|[+-]\d{2}:?\d{2}))?(?![\w:])/

    module_function

    def zone(name)
      ZoneId.of(name)
    end

    def day(year, month, day)
      raise Wrong unless (1..9999).cover?(year)
      LocalDate.of(year, month, day).to_epoch_day
    rescue java.time.DateTimeException
      raise Wrong
    end

    # An hour that a summer time has twice is the earlier, one that it leaves out comes later.
    def moment(day, clock, fraction, zone, local)
      hour, minute, second = clock.split(":").map(&:to_i)
      raise Wrong if hour > 23 || minute > 59 || second.to_i > 59
      seconds = day * 86_400 + hour * 3600 + minute * 60 + second.to_i
      seconds = zone ? seconds - offset(zone) : LocalDateTime.of_epoch_second(seconds, 0, ZoneOffset::UTC).at_zone(local).to_epoch_second
      seconds * SECOND + (fraction || "0").ljust(6, "0")[0, 6].to_i
    end

    def offset(text)
      return 0 if %w[Z UTC].include?(text)
      minutes = text.length > 3 ? text[-2, 2].to_i : 0
      seconds = text[1, 2].to_i * 3600 + minutes * 60
      raise Wrong if seconds >= 86_400
      text.start_with?("-") ? -seconds : seconds
    end

    # The day that a line's date says; the year, where it says none, is the latest.
    def day_of(text, reference)
      return day(text[0, 4].to_i, text[5, 2].to_i, text[8, 2].to_i) if text.match?(/\A\d{4}/)
      if text.include?("/")
        number, month, year = text.split("/")
        return day(year.to_i, MONTHS.index(month) + 1, number.to_i)
      end
      month, number = text.split
      latest = (reference + DAY).div(DAY)
      year = LocalDate.of_epoch_day(latest).year
      year.downto(year - 8) do |one|
        found = begin
          day(one, MONTHS.index(month) + 1, number.to_i)
        rescue Wrong
          next # the 29th of February
        end
        return found if found <= latest
      end
      raise Wrong
    end

    # The last day on which this time of day is not after the reference.
    def latest(clock, reference, local)
      at = LocalDateTime.of_epoch_second(reference.div(SECOND), 0, ZoneOffset::UTC).at_offset(ZoneOffset::UTC)
      day = at.at_zone_same_instant(local).to_local_date.to_epoch_day
      moment(day, clock, nil, nil, local) <= reference + AHEAD ? day : day - 1
    end

    # When a file's last line is from: its last change, or the end of the day that its name tells.
    def last_written(name, changed)
      name.scan(NAMED_DATE) do |year, month, number|
        named = begin
          (day(year.to_i, month.to_i, number.to_i) + 1) * DAY
        rescue Wrong
          next
        end
        return named - SECOND if changed > named + COPIED
      end
      changed
    end

    # The moment that an ISO 8601 text states, in UTC if it names no zone; nil of any other text.
    def iso(text)
      found = ISO.match(text)
      return nil unless found
      day = day_of(found[1], 0)
      moment(day, found[2] || "00:00:00", found[3], found[4], ZoneOffset::UTC)
    rescue Wrong
      nil
    end

    # When RQ says that it tries again; it writes that time in UTC.
    def retry_at(text)
      found = STAMP.match(text)
      found && moment(day_of(found[1], 0), found[2], found[3], found[4], ZoneOffset::UTC)
    rescue Wrong
      nil
    end

    def now
      time = Time.now
      time.to_i * SECOND + time.usec
    end

    # As ECS has it: UTC, microseconds, 27 characters.
    def written(moment)
      Time.at(moment.div(SECOND), moment.modulo(SECOND)).utc.strftime("%Y-%m-%dT%H:%M:%S.%6NZ")
    end

    # The days of a file's lines, as far as it was read.
    class Days
      STAMPS = /^(?:Time: |\[|\w{4,8} \[?|[\w.-]+ *\| )?(?:(\d{4})[-\/](\d\d)[-\/](\d\d)[T ])?(\d\d):(\d\d):(\d\d)/n
      NOON = 12 * 3600
      PIECE = 1 << 20

      attr_reader :read_to

      def initialize
        @read_to = 0
        @midnights = [] # offsets of lines that are of a later day than the one before
        @anchors = [] # [offset, day, midnights before it]
        @last = @day = nil
      end

      # Read on, through all whole lines that are there.
      def learn(io)
        io.seek(@read_to)
        rest = "".b
        while (piece = io.read(PIECE))
          data = rest << piece
          cut = (data.rindex("\n") || -1) + 1
          learn_of(data.byteslice(0, cut)) if cut.positive?
          rest = data.byteslice(cut..-1)
        end
      end

      # The day of a line that tells only a time of day. `written`: when the file's last line was, about.
      def day(offset, clock, written, local)
        passed = count_to(@midnights, offset)
        before = count_to(@anchors, offset, &:first)
        if !@anchors.empty?
          _, day, behind = @anchors[[before - 1, 0].max]
        else
          last = @last ? format("%02d:%02d:%02d", @last / 3600, @last / 60 % 60, @last % 60) : clock
          day = Dates.latest(last, written, local)
          behind = @midnights.size
        end
        day + passed - behind
      end

      private

      def count_to(sorted, offset)
        sorted.bsearch_index { |one| (block_given? ? yield(one) : one) > offset } || sorted.size
      end

      def learn_of(data)
        at = 0
        while (found = STAMPS.match(data, at))
          at = found.end(0)
          learn_stamp(@read_to + found.begin(0), found)
        end
        @read_to += data.bytesize
      end

      def learn_stamp(offset, found)
        hour, minute, second = found[4].to_i, found[5].to_i, found[6].to_i
        return if hour > 23 || minute > 59 || second > 59
        now = hour * 3600 + minute * 60 + second
        if found[1]
          anchor(offset, found)
        elsif @last && now < @last - NOON
          @midnights << offset
          @day += 1 if @day
        end
        @last = now
      end

      def anchor(offset, found)
        said = Dates.day(found[1].to_i, found[2].to_i, found[3].to_i)
        return if said == @day # only where it tells something new
        @anchors << [offset, said, @midnights.size]
        @day = said
      rescue Wrong
        nil
      end
    end
  end
end
