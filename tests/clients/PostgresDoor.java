import java.sql.*;
import java.util.*;

/** Drives the Postgres door with pgJDBC: metadata, prepared statements past the threshold of binary, cursors, types. Argument: the port. */
public class PostgresDoor {
    static void same(Object found, Object wanted) {
        if (!Objects.equals(found, wanted)) throw new AssertionError(found + ", not " + wanted);
    }

    static List<String> column(ResultSet rows, String name) throws SQLException {
        List<String> all = new ArrayList<>();
        while (rows.next()) all.add(rows.getString(name));
        return all;
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/laguna?user=ana&ApplicationName=test";
        try (Connection connection = DriverManager.getConnection(url)) {
            DatabaseMetaData data = connection.getMetaData();
            if (!column(data.getSchemas(), "TABLE_SCHEM").contains("enhanced")) throw new AssertionError("no schema");
            same(column(data.getTables(null, "enhanced", "%", new String[] {"TABLE", "VIEW"}), "TABLE_NAME"), List.of("orders", "v_orders"));
            same(column(data.getColumns(null, "enhanced", "orders", "%"), "COLUMN_NAME"),
                List.of("id", "customer", "amount", "qty", "created_at", "day", "ok", "payload", "tags"));
            same(column(data.getColumns(null, "enhanced", "orders", "amount"), "TYPE_NAME"), List.of("numeric"));
            same(column(data.getPrimaryKeys(null, "enhanced", "orders"), "COLUMN_NAME"), List.of());
            same(column(data.getIndexInfo(null, "enhanced", "orders", false, false), "INDEX_NAME"), List.of());
            same(column(data.getImportedKeys(null, "enhanced", "orders"), "FK_NAME"), List.of());
            data.getTypeInfo().close();
            data.getFunctions(null, "enhanced", "%").close();
            data.getCatalogs().close();
            PreparedStatement statement =
                connection.prepareStatement("select id, amount, created_at, tags from enhanced.orders where id > ? and customer = ? order by id");
            for (int round = 0; round < 12; round++) {
                statement.setLong(1, 0);
                statement.setString(2, "c1");
                ResultSet rows = statement.executeQuery();
                rows.next();
                same(rows.getLong(1), 1L);
                same(rows.getBigDecimal(2).toPlainString(), "1.50");
                same(rows.getTimestamp(3).toInstant().toString(), "2026-01-01T10:00:00Z");
                same(Arrays.asList((Object[]) rows.getArray(4).getArray()), Arrays.asList("a", "b c", "c1"));
                same(rows.next(), false);
            }
            connection.setAutoCommit(false);
            Statement cursor = connection.createStatement();
            cursor.setFetchSize(1);
            same(column(cursor.executeQuery("select id from enhanced.orders order by id"), "id"), List.of("1", "2", "3"));
            connection.rollback();
            connection.setAutoCommit(true);
            connection.setReadOnly(true);
            try {
                connection.createStatement().execute("insert into enhanced.orders values (1)");
                throw new AssertionError("it wrote");
            } catch (SQLException refused) {
                same(refused.getSQLState(), "25006");
            }
            ResultSetMetaData columns = connection.createStatement().executeQuery("select * from enhanced.orders").getMetaData();
            same(columns.getPrecision(3) + "," + columns.getScale(3), "12,2");
            same(connection.isValid(5), true);
            Statement slow = connection.createStatement();
            slow.setQueryTimeout(1);
            try {
                slow.executeQuery("select count(*) from generate_series(1, 100000000) a, generate_series(1, 100000) b");
                throw new AssertionError("it was not cancelled");
            } catch (SQLException cancelled) {
                same(cancelled.getSQLState(), "57014");
            }
        }
        System.out.println("pgJDBC: as it should be");
    }
}
